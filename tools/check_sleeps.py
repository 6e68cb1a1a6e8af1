"""No test sleeps.

The accident: a test that slept 0.2 s until a task "must be done by now" passed on its author's machine for months and
failed on a loaded one every tenth night, until people ran everything twice and a real race hid behind the habit. Tests
turn a clock, or wait for the event itself with a deadline.

What a test function itself awaits or calls is looked at, not the functions inside it: a fake vendor that is slow has to
sleep. ``# sleep: reason`` beside a line lets it stay; ``asyncio.sleep(0)`` only lets others run. The acceptance tests
are users of a station: they poll.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

REASON = "# sleep:"

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
SLEEPING = {"time.sleep", "asyncio.sleep", "anyio.sleep"}


def main() -> int:
    """Name every sleep in our tests; return 1 if there is one."""
    paths = [path for path in sorted(Path("tests").rglob("*.py")) if "acceptance" not in path.parts]
    found = [line for path in paths for line in sleeps(path)]
    print("\n".join(found))
    return 1 if found else 0


def sleeps(path: Path) -> Iterator[str]:
    """Yield the sleeps of one file."""
    text = path.read_text()
    lines = text.splitlines()
    tests = [node for node in ast.walk(ast.parse(text)) if isinstance(node, FunctionNode)]
    for node in (node for test in tests if test.name.startswith("test_") for node in own_nodes(test)):
        if is_sleep(node) and REASON not in lines[node.lineno - 1]:
            yield f"{path}:{node.lineno}: {ast.unparse(node)}"


def own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what belongs to a function but not to the functions inside it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, FunctionNode | ast.Lambda):
            yield child
            yield from own_nodes(child)


def is_sleep(node: ast.AST) -> TypeGuard[ast.Call]:
    """Whether this calls for some time to pass."""
    if not isinstance(node, ast.Call) or ast.unparse(node.func) not in SLEEPING:
        return False
    return not (len(node.args) == 1 and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0)


if __name__ == "__main__":
    sys.exit(main())
