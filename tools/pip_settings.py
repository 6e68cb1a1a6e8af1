"""Print what pip is configured with as shell commands that make uv use the same.

A machine behind a mirror, a proxy or a company's certificate has told pip so, in a file or in the environment; uv reads
neither. Nothing of it is written into the project. Runs on the bare interpreter, before anything is installed.
"""

import ast
import os
import shlex
import ssl
import subprocess
import sys

SECTIONS = ("global", "install", ":env:")  # the later one wins
VARIABLES = {  # pip's option: the variables that say it to uv, and what stands between several values
    "index-url": (("UV_DEFAULT_INDEX",), " "),
    "extra-index-url": (("UV_INDEX",), " "),
    "find-links": (("UV_FIND_LINKS",), ","),
    "no-index": (("UV_NO_INDEX",), " "),
    "trusted-host": (("UV_INSECURE_HOST",), " "),
    "cert": (("SSL_CERT_FILE",), " "),
    "client-cert": (("SSL_CLIENT_CERT",), " "),
    "proxy": (("HTTP_PROXY", "HTTPS_PROXY"), " "),
    "timeout": (("UV_HTTP_TIMEOUT",), " "),
    "default-timeout": (("UV_HTTP_TIMEOUT",), " "),
}


def main() -> None:
    """Print one export a line, for what the environment does not say already."""
    for name, value in sorted(wanted(pip_options()).items()):
        if name not in os.environ:
            print(f"export {name}={shlex.quote(value)}")


def pip_options() -> dict[str, str]:
    """Return the options that pip would use to install, by name."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    found: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    for line in listed.stdout.splitlines():
        key, _, value = line.partition("=")
        section, _, option = key.partition(".")
        if section in found:
            found[section][option] = str(ast.literal_eval(value))
    return {option: value for section in SECTIONS for option, value in found[section].items()}


def wanted(options: dict[str, str]) -> dict[str, str]:
    """Return uv's variables for pip's options."""
    variables: dict[str, str] = {}
    for option, (names, between) in VARIABLES.items():
        if options.get(option):
            variables |= dict.fromkeys(names, between.join(options[option].split()))
    if "UV_INDEX" in variables:
        # pip takes the best version of all indexes; the hashes say that it is the right one.
        variables["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    if "SSL_CERT_FILE" not in variables and ssl.get_default_verify_paths().cafile:
        variables["UV_SYSTEM_CERTS"] = "true"
    return variables


if __name__ == "__main__":
    main()
