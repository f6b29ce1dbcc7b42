"""The fields that a configuration entry may give, read from the source text of its method's class.

Checking a configuration imports neither torch nor the class.
"""

import ast
from functools import cache
from typing import Any, NamedTuple

from pipeline_lib.entries.classes import class_of, is_defined, parameters, type_alias
from pipeline_lib.entries.ranges import RANGES


class Field(NamedTuple):
    """A field of an entry: its annotation, whether it is required, the default if that is plain data, the module in
    which names in the annotation are looked up, and the class of a default that is an object, as written there."""

    annotation: str
    required: bool
    default: Any
    module: str
    factory: str = ""


@cache
def fields(target: str) -> dict[str, Field]:
    """The constructor's parameters of `module:Class`, in order: for a dataclass its fields, including inherited ones.

    Raises:
        PipelineError: no such module or class, or a class whose base is not found.
    """
    return {
        name: Field(
            _expanded(_parsed(given.annotation), module, module), given.required, given.default, module, given.factory
        )
        for name, (given, module) in parameters(class_of(target)).items()
    }


def _parsed(annotation: str) -> ast.expr:
    return ast.parse(annotation, mode="eval").body


def _expanded(node: ast.expr, module: str, home: str) -> str:
    """An annotation with type aliases expanded: `Zeros` -> `Literal["keep", "floor"]`.

    module: where the names are looked up. home: the module that reads the result; names of classes of other modules get
    their module as a prefix.
    """
    if isinstance(node, ast.BinOp):
        return f"{_expanded(node.left, module, home)} | {_expanded(node.right, module, home)}"
    if isinstance(node, ast.Subscript) and ast.unparse(node.value) != "Literal":
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return f"{ast.unparse(node.value)}[{', '.join(_expanded(part, module, home) for part in inner)}]"
    text = ast.unparse(node)
    if not isinstance(node, ast.Name) or text == "Precision" or text in RANGES:
        return text
    if (alias := type_alias(module, text)) is not None:
        return _expanded(_parsed(alias[0]), alias[1], home)
    return f"{module}.{text}" if module != home and is_defined(module, text) else text
