"""Changed copies of functions, one expression each, for `quick_mutants.py`.

Comparisons, operators, constants, texts, negations, conditions and dropped keywords. Left out, as in mutmut's
configuration: annotations, decorators, default values, docstrings, errors, logs, f-strings, `strict=` and `device=`.
"""

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import NamedTuple

SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq},
    **{ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And},
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Div},
    **{ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd},
}
CONDITIONS = (ast.If, ast.While, ast.IfExp)
KEPT_KEYWORDS = ("strict", "device")


class Mutant(NamedTuple):
    """The code of a function with one change. key: file, function and change; start: the first line of the function."""

    key: str
    function: str
    start: int
    line: int
    code: CodeType


def mutants(path: Path, name: str) -> Iterator[Mutant]:
    """All mutants of a file's functions and methods. name: of the file in keys."""
    tree = ast.parse(path.read_text())
    seen: Counter[str] = Counter()
    for function, qualified in functions(tree):
        start = min(node.lineno for node in (function, *function.decorator_list))
        for owner, field, place in sites(function):
            found = getattr(owner, field)
            node = found if place is None else found[place]
            for other in replacements(node):
                key = f"{name}:{qualified}: {_text(node)} -> {_text(other)}"
                seen[key] += 1
                _put(owner, field, place, other)
                code = compile(ast.fix_missing_locations(tree), str(path), "exec")
                _put(owner, field, place, node)
                line = getattr(node, "lineno", function.lineno)
                yield Mutant(f"{key} #{seen[key]}", qualified, start, line, code_of(code, qualified, start))


def functions(tree: ast.AST, before: str = "") -> Iterator[tuple[ast.FunctionDef, str]]:
    """Functions and methods with their qualified names; not those inside of functions, which are part of these."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            yield node, before + node.name
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{before}{node.name}.")


def code_of(code: CodeType, qualified: str, start: int) -> CodeType:
    """The code of a function of a compiled module."""
    for one in code.co_consts:
        if isinstance(one, CodeType):
            if (one.co_qualname, one.co_firstlineno) == (qualified, start):
                return one
            if qualified.startswith(f"{one.co_qualname}."):
                return code_of(one, qualified, start)
    raise LookupError(qualified)


def sites(node: ast.AST) -> Iterator[tuple[ast.AST, str, int | None]]:
    """Every expression and statement that may be changed: its parent, the parent's field, and its place in a list."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "args") and not isinstance(node, ast.Call):
            continue
        for place, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(child, ast.AST) and not _left_out(child):
                yield node, field, place
                yield from sites(child)


def _left_out(node: ast.AST) -> bool:
    """Errors, logs, docstrings, formatted texts and values of some keywords."""
    if isinstance(node, ast.keyword):
        return node.arg in KEPT_KEYWORDS
    if isinstance(node, ast.Expr):
        node = node.value
        if isinstance(node, ast.Constant):
            return True
    logs = isinstance(node, ast.Call) and ast.unparse(node.func).startswith("LOGGER.")
    return logs or isinstance(node, ast.Raise | ast.JoinedStr)


def replacements(node: ast.AST) -> Iterator[ast.AST]:
    """What a node is replaced by, one after the other."""
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            yield _with(node, "ops", [*node.ops[:place], SWAPPED[type(operator)](), *node.ops[place + 1 :]])
    elif isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp) and type(node.op) in SWAPPED:
        yield _with(node, "op", SWAPPED[type(node.op)]())
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.If | ast.While | ast.IfExp) and isinstance(
        node.test, ast.Name | ast.Call | ast.Attribute
    ):
        yield _with(node, "test", ast.UnaryOp(ast.Not(), node.test))
    elif isinstance(node, ast.Continue):
        yield ast.Break()
    elif isinstance(node, ast.Constant):
        yield from (ast.Constant(value) for value in _other_constants(node.value))
    elif isinstance(node, ast.Call):
        for place, keyword in enumerate(node.keywords):
            if keyword.arg not in (None, *KEPT_KEYWORDS):
                yield _with(node, "keywords", node.keywords[:place] + node.keywords[place + 1 :])


def _other_constants(value: object) -> list[object]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1]
    return [f"XX{value}"] if isinstance(value, str) else []


def _with(node: ast.AST, field: str, value: object) -> ast.AST:
    changed = copy.copy(node)
    setattr(changed, field, value)
    return changed


def _put(owner: ast.AST, field: str, place: int | None, node: ast.AST) -> None:
    if place is None:
        setattr(owner, field, node)
    else:
        getattr(owner, field)[place] = node


def _text(node: ast.AST) -> str:
    """The first line of an expression's or statement's source."""
    return ast.unparse(node).partition("\n")[0]
