"""Annotations in a canonical form.

`Optional[float]`, `Union[float, None]` and `"float | None"` all become `float | None`; `typing.Sequence[int]` becomes
`list[int]`. `imported`: the names that a module imports, with their dotted paths.
"""

import ast

TYPING = ("typing.", "typing_extensions.", "collections.abc.", "collections.", "dataclasses.")
LISTS = ("List", "Sequence", "MutableSequence", "Iterable", "Collection", "Set", "FrozenSet")
MAPPINGS = ("Dict", "Mapping", "MutableMapping", "OrderedDict")
# Wrappers of a type that do not restrict a value.
AROUND = ("Annotated", "Final", "Required", "ReadOnly")


def plain_name(node: ast.expr, imported: dict[str, str]) -> str:
    """The plain name of a decorator, call or type: `dc.dataclass(frozen=True)` -> `dataclass`."""
    if isinstance(node, ast.Call):
        node = node.func
    head, _, rest = ast.unparse(node).partition(".")
    return f"{imported.get(head, head)}.{rest}".strip(".").rpartition(".")[2]


def made_by(value: ast.expr | None, imported: dict[str, str]) -> str:
    """The class in a default `field(default_factory=Class)` or `Class()`, as written; empty for any other default."""
    if not isinstance(value, ast.Call):
        return ""
    if plain_name(value, imported) == "field":
        given = {keyword.arg: keyword.value for keyword in value.keywords}
        factory = given.get("default_factory")
        plain = isinstance(factory, ast.Name | ast.Attribute)
        return ast.unparse(factory) if plain and factory else made_by(given.get("default"), imported)
    return "" if value.args or value.keywords else ast.unparse(value.func)


def unquoted(node: ast.expr) -> ast.expr:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            return unquoted(ast.parse(node.value, mode="eval").body)
        except SyntaxError:
            return ast.Name("Any")
    return node


def written(node: ast.expr, imported: dict[str, str]) -> str:
    """An annotation in the canonical form."""
    node = unquoted(node)
    if isinstance(node, ast.BinOp):
        return f"{written(node.left, imported)} | {written(node.right, imported)}"
    if isinstance(node, ast.Subscript):
        return _subscript(_plain(node.value, imported), node.slice, imported)
    return _plain(node, imported)


def _subscript(name: str, inner: ast.expr, imported: dict[str, str]) -> str:
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    if name == "Literal":
        return f"Literal[{', '.join(map(ast.unparse, parts))}]"
    texts = [written(part, imported) for part in parts]
    if name == "Optional":
        return f"{texts[0]} | None"
    if name == "Union":
        return " | ".join(texts)
    return texts[0] if name in AROUND else f"{name}[{', '.join(texts)}]"


def _plain(node: ast.expr, imported: dict[str, str]) -> str:
    text = ast.unparse(node)
    head, dot, rest = text.partition(".")
    full = imported.get(head, head) + dot + rest
    if not full.startswith(TYPING):
        return "list" if text in ("set", "frozenset") else text
    name = full.rpartition(".")[2]
    if name in MAPPINGS:
        return "dict"
    return "list" if name in LISTS else name.replace("Tuple", "tuple")
