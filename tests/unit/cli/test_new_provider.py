"""``yiapi new-provider``: what it writes works before anything is changed."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDERS = ("src", "contracts", "tests/cases", "tests/providers", "tests/integration")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what a provider stands on."""
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.fixture
def start(project: Path):
    """Start a program on the copy."""
    env = os.environ | {"PYTHONPATH": str(project / "src"), "YIAPI_DRAIN_LISTEN_S": "0"}
    running = []

    def started(*args: object) -> subprocess.Popen[str]:
        command = [sys.executable, *map(str, args)]
        process = subprocess.Popen(
            command, cwd=project, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        running.append(process)
        return process

    yield started
    for process in running:
        process.terminate()
        process.communicate()


def test_its_examples_hold(run, project, start):
    run("new-provider", "acme_2", "--title", "Acme & Sons (2)", "--repo", project)

    valid = start("tests/cases/validate.py", "tests/cases/acme_2.json")
    told = start("-m", "pytest", "tests/providers", "-k", "acme_2").communicate()[0]

    assert valid.wait() == 0
    assert "2 passed" in told


def test_a_call_goes_through_the_sandbox(run, project, start):
    run("new-provider", "acme_2", "--repo", project)
    station = start("-m", "yiapi", "serve", "--data", "data", "--port", 0, "--sandbox-port", 0)
    next(line for line in station.stdout if line.startswith("Try it"))
    first = json.loads((project / "data/first-run.json").read_text())

    request = urllib.request.Request(
        f"{first['base_url']}/acme_2/v1/generate",
        json.dumps({"prompt": "a fox"}).encode(),
        {"authorization": f"Bearer {first['api_key']}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        link = json.load(answer)["data"][0]["url"]
    with urllib.request.urlopen(link) as file:
        picture = file.read()

    assert answer.headers["x-yiapi-charge"] == "0.01"
    assert link.startswith(first["base_url"])
    assert picture.startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["Acme", "2acme", "a-b", "../x", "", "kling", "contract", "registry", "v1", "files"])
def test_a_name_that_cannot_be_or_is_taken_writes_nothing(run, tmp_path, name):
    for folder in ("contracts", "src/yiapi/providers", "src/yiapi_sandbox/vendors", "tests/cases"):
        (tmp_path / folder).mkdir(parents=True)
    for module in ("contract", "registry"):
        (tmp_path / f"src/yiapi/providers/{module}.py").touch()
    before = sorted(tmp_path.rglob("*"))

    result = run("new-provider", name, "--repo", tmp_path)

    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_title_cannot_break_out_of_its_quotes(run, project):
    assert run("new-provider", "acme", "--title", 'x" + evil() + "', "--repo", project).exit_code == 2


def test_it_is_run_in_the_projects_root(run, tmp_path):
    result = run("new-provider", "acme", "--repo", tmp_path)

    assert result.exit_code == 2
    assert "run this in the project's root" in result.stderr
