"""Every link and every path that the documents name leads somewhere.

The accident: a guide that told newcomers to copy a file which had been renamed two months before. Nobody who knew the
project read the guide, and nobody who read it knew the project.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

ROOTS = ("src", "docs", "tests", "tools", "contracts", "requirements", "console", "bench", ".ci")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
NAMED = re.compile(rf"`((?:{'|'.join(map(re.escape, ROOTS))})/[\w./-]*[\w/])`")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*$", re.MULTILINE)


def main() -> int:
    """Name every link that leads nowhere; return 1 if there is one."""
    pages = [Path("README.md"), *sorted(Path("docs").rglob("*.md"))]
    found = [line for page in pages for line in broken(page)]
    print("\n".join(found))
    return 1 if found else 0


def broken(page: Path) -> Iterator[str]:
    """Yield what one page names in vain; links are relative to the page, paths in code to the project."""
    text = FENCE.sub("", page.read_text())
    for link in LINK.findall(text):
        if not re.match(r"[a-z][a-z0-9+.-]*:|/", link) and not leads_somewhere(page, unquote(link)):
            yield f"{page}: link to {link}"
    for path in NAMED.findall(text):
        if not Path(path).exists():
            yield f"{page}: path {path}"


def leads_somewhere(page: Path, link: str) -> bool:
    """Whether the file of a link exists, and the heading in it."""
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    if not target.exists():
        return False
    return not anchor or target.suffix != ".md" or anchor in anchors(target)


def anchors(page: Path) -> set[str]:
    """Return the headings of a page as links name them."""
    words = HEADING.findall(FENCE.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in words}


if __name__ == "__main__":
    sys.exit(main())
