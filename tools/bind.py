"""Bind what a module of the copy uses, so that compiled code has it in one step.

mypyc calls directly what it compiles too. All other names of a module it looks up in a dictionary at each use, unless
the module says that they never change (``Final``). The sources need not say so: here it is said in their copy.
"""

import ast
from collections.abc import Callable, Iterator

SPECIAL = frozenset({"__future__", "collections.abc", "mypy_extensions", "types", "typing"})
"""What comes from these has a meaning of its own to mypy."""
TYPE_MAKERS = frozenset({"TypeVar", "ParamSpec", "NewType", "namedtuple"})
PREFIX = "_bound_"

Direct = Callable[[str, str], bool]
"""Whether compiled code knows a name of a module by itself."""


def bound(text: str, is_direct: Direct) -> str:
    """Return the text of a module with its constants, and what it uses of others, said to be ``Final``."""
    lines = text.splitlines(keepends=True)
    tree = ast.parse(text)
    taken = {name for name, source in imported(tree) if source[0] not in SPECIAL and not is_direct(*source)}
    used = [node for node in uses(tree, frozenset()) if node.id in taken]
    for node in sorted(used, key=lambda node: (node.lineno, node.col_offset), reverse=True):
        line = lines[node.lineno - 1].encode()
        at = node.col_offset
        lines[node.lineno - 1] = (line[:at] + PREFIX.encode() + line[at:]).decode()
    for row, said in constants(tree):
        lines[row] = said(lines[row])
    names = sorted({node.id for node in used})
    last = max((node.end_lineno or 0 for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)), default=0)
    lines[last:last] = [f"{PREFIX}{name}: {_kind(name)} = {name}\n" for name in names]
    lines.insert(_after_the_future(tree), "from typing import Final\n")
    return "".join(lines)


def imported(tree: ast.Module) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield the names that a module takes from others, each with where it comes from."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield alias.asname or alias.name, (node.module, alias.name)


def constants(tree: ast.Module) -> Iterator[tuple[int, Callable[[str], str]]]:
    """Yield the lines where a module gives a value to a name that never gets another, and how it says so."""
    stored = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    elsewhere = {name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names}
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if is_plain(value) and not _is_class(name):
                said = _renamed(name, f"{name}: Final")
            case ast.AnnAssign(target=ast.Name(id=name), annotation=kind, value=ast.expr()) if _may_be_final(kind):
                written = ast.unparse(kind)
                said = _renamed(f"{name}: {written}", f"{name}: Final[{written}]")
            case _:
                continue
        if stored.count(name) == 1 and name not in elsewhere and not name.startswith("__"):
            yield node.lineno - 1, said


def is_plain(value: ast.expr) -> bool:
    """Whether a value is one: not a name of a type, nor made of several."""
    if isinstance(value, ast.Call):
        return not (isinstance(value.func, ast.Name) and value.func.id in TYPE_MAKERS)
    return isinstance(value, ast.Constant | ast.BinOp | ast.UnaryOp | ast.Attribute)


def uses(node: ast.AST, hidden: frozenset[str]) -> Iterator[ast.Name]:
    """Yield where functions read names, but not where mypy wants the name of a type, nor a name that is ``hidden``."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        hidden |= _own(node)
        children: list[ast.AST] = [*node.body]
    elif isinstance(node, ast.Module | ast.ClassDef):
        children = [child for child in node.body if isinstance(child, ast.stmt) and hasattr(child, "body")]
    else:
        children = [*ast.iter_child_nodes(node)]
    for child in children:
        match child:
            case ast.Name(id=name, ctx=ast.Load()):
                if name not in hidden and not isinstance(node, ast.Attribute):
                    yield child
            case ast.BinOp(op=ast.BitOr()) | ast.MatchClass():
                continue
            case ast.AnnAssign(value=value):
                yield from uses(ast.Expr(value), hidden) if value else ()
            case ast.Call(func=ast.Name(id="isinstance")):  # its answer tells mypy more of a class by its own name
                yield from uses(ast.Expr(child.args[0]), hidden)
            case ast.Subscript():
                yield from uses(ast.Expr(child.value), hidden)
            case _:
                yield from uses(child, hidden)


def _own(function: ast.FunctionDef | ast.AsyncFunctionDef) -> frozenset[str]:
    """Return the names that are a function's own."""
    names = {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names.add(node.name)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name)
    return frozenset(names)


def _kind(name: str) -> str:
    return f"Final[type[{name}]]" if _is_class(name) else "Final"


def _is_class(name: str) -> bool:
    """Whether a name is written like that of a class."""
    return name.lstrip("_")[:1].isupper() and not name.isupper()


def _may_be_final(annotation: ast.expr) -> bool:
    return not any(word in ast.unparse(annotation) for word in ("Final", "ClassVar", "TypeAlias"))


def _renamed(old: str, new: str) -> Callable[[str], str]:
    return lambda line: line.replace(old, new, 1) if line.startswith(old) else line


def _after_the_future(tree: ast.Module) -> int:
    after = next((node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"), None)
    return (after or tree.body[0]).end_lineno or 0
