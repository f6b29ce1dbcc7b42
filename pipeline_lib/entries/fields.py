"""The fields that a configuration entry may give, read from the source text of its method's class.

So checking a configuration imports neither torch nor the class.
"""

import ast
from functools import cache
from typing import Any, NamedTuple

from pipeline_lib.entries.classes import class_of, is_defined, parameters, type_alias
from pipeline_lib.entries.ranges import RANGES


class Field(NamedTuple):
    """What an entry may give: its annotation, whether it has to be given, the default where that is plain data, and
    the module that names of classes in the annotation are looked up in."""

    annotation: str
    required: bool
    default: Any
    module: str


@cache
def fields(target: str) -> dict[str, Field]:
    """What `module:Class` is called with, in order: the fields of a dataclass, inherited ones included.

    Raises:
        PipelineError: no such module or class, or a class whose base is found nowhere.
    """
    return {
        name: Field(_expanded(_parsed(given.annotation), module, module), given.required, given.default, module)
        for name, (given, module) in parameters(class_of(target)).items()
    }


def _parsed(annotation: str) -> ast.expr:
    return ast.parse(annotation, mode="eval").body


def _expanded(node: ast.expr, module: str, home: str) -> str:
    """An annotation with other names for types written out: `Zeros` -> `Literal["keep", "floor"]`.

    module: where the names are looked up; home: where the result is read, so that other classes get its name.
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
