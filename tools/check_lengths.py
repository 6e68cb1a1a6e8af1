"""No file of more than 400 lines, no function of more than 40, unless it says why: ``# length: reason``.

The accident: in the gateways that we learnt from, one function of 900 lines decided on retries, money and streaming at
once. Nobody could say which of its 60 branches a change would touch, so every mended leak opened another one. A long
thing may be right, a table for instance, but then its author has to say so in the file's first lines or beside the def.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

FOLDERS = ("src", "tools")
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 40
REASON = "# length:"
HEAD_LINES = 40

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


def main() -> int:
    """Name everything that is too long; return 1 if there is something."""
    found = [line for folder in FOLDERS for path in sorted(Path(folder).rglob("*.py")) for line in too_long(path)]
    print("\n".join(found))
    return 1 if found else 0


def too_long(path: Path) -> Iterator[str]:
    """Yield what is too long in one file."""
    text = path.read_text()
    lines = text.splitlines()
    if len(lines) > FILE_LINES_MAX and not says_why(lines[:HEAD_LINES]):
        yield f"{path}: {len(lines)} lines"
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, FunctionNode) or length(node) <= FUNCTION_LINES_MAX:
            continue
        if not says_why(lines[node.lineno - 2 : node.body[0].lineno]):
            yield f"{path}:{node.lineno}: {node.name} has {length(node)} lines"


def length(node: FunctionNode) -> int:
    """Return the lines of a function without its docstring."""
    documented = node.body[0] if ast.get_docstring(node) is not None else None
    words = (documented.end_lineno or 0) - documented.lineno + 1 if documented else 0
    return (node.end_lineno or 0) - node.lineno + 1 - words


def says_why(lines: list[str]) -> bool:
    """Whether one of the lines carries a reason."""
    return any(line.partition(REASON)[2].strip() for line in lines)


if __name__ == "__main__":
    sys.exit(main())
