"""Facts read from the syntax tree of a Python file: imports, classes with their fields, aliases."""

import ast
from collections.abc import Iterator
from typing import Any, NamedTuple

from pipeline_lib.provenance.annotations import made_by, plain_name, unquoted, written

# Decorators that turn the annotated names of a class into fields.
DATACLASS = ("dataclass", "method")
# Decorators that keep a method's parameters.
TRANSPARENT = {"staticmethod", "classmethod", "abstractmethod", "override", "no_grad", "enable_grad", "inference_mode"}
SPECIAL = {"ClassVar": "class", "InitVar": "field"}


class Annotated(NamedTuple):
    """An annotated name of a class body, or a parameter of `__init__`.

    kind: `field`; `class` for a ClassVar; `hidden` for a field that `__init__` does not take.
    """

    annotation: str
    kind: str
    required: bool
    default: Any  # None unless it is plain data
    factory: str = ""  # the class whose object without arguments is the default, as written


class Signature(NamedTuple):
    """The parameters of a method without `self`: numbers of positional ones, and names of required keyword-only ones.

    most: -1 for any number.
    """

    least: int
    most: int
    keywords: list[str]


class ClassSource(NamedTuple):
    """A class: its bases as written, and the declarations in its body."""

    bases: list[str]
    is_dataclass: bool
    annotated: dict[str, Annotated]
    parameters: dict[str, Annotated] | None  # of its own `__init__`
    members: list[str]
    constants: dict[str, Any]  # names with plain data assigned to them
    signatures: dict[str, Signature]  # of methods whose decorators keep their parameters


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """All statements below a node. `ast.walk` would also visit every expression: twenty times as many nodes."""
    for block in ("body", "orelse", "finalbody", "handlers", "cases"):
        for child in getattr(node, block, ()):
            yield child
            yield from statements(child)


def module_level(tree: ast.AST) -> Iterator[ast.stmt]:
    """The statements of a module that bind its names, including those under `if` and `try`."""
    for block in ("body", "orelse", "finalbody", "handlers"):
        for child in getattr(tree, block, ()):
            if isinstance(child, ast.If | ast.Try | ast.With | ast.ExceptHandler):
                yield from module_level(child)
            else:
                yield child


def imports(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    """Module and names of every import anywhere in the file; a relative module begins with its dots."""
    for node in statements(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or ""), [alias.name for alias in node.names]


def bindings(tree: ast.Module) -> dict[str, str]:
    """Local name -> dotted path of what it was imported from; relative paths begin with their dots.

    A package that loads its names on first use lists them in `_MODULES`: module -> names.
    """
    found: dict[str, str] = {}
    for node in module_level(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                found[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found |= {alias.asname or alias.name: inside(module, alias.name) for alias in node.names}
    return _lazy(tree) | found


def inside(module: str, name: str) -> str:
    """The dotted path of a name in a module."""
    return f"{module}{name}" if module.endswith(".") else f"{module}.{name}"


def _lazy(tree: ast.Module) -> dict[str, str]:
    modules = _assigned(tree).get("_MODULES")
    if not isinstance(modules, ast.Dict):
        return {}
    return {name: f".{module}.{name}" for module, names in ast.literal_eval(modules).items() for name in names}


def aliases(tree: ast.Module) -> dict[str, str]:
    """Aliases of classes and types in a module: `Attack = Ascent`, `Zeros = Literal["keep"]`."""
    imported = bindings(tree)
    kinds = ast.Name | ast.Attribute | ast.Subscript | ast.BinOp
    return {name: written(value, imported) for name, value in _assigned(tree).items() if isinstance(value, kinds)}


def _assigned(tree: ast.Module) -> dict[str, ast.expr]:
    found = {}
    for node in module_level(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            found[node.target.id] = node.value
    return found


def classes(tree: ast.Module) -> dict[str, ClassSource]:
    """The classes of a module by name."""
    imported = bindings(tree)
    return {node.name: _class(node, imported) for node in module_level(tree) if isinstance(node, ast.ClassDef)}


def _class(node: ast.ClassDef, imported: dict[str, str]) -> ClassSource:
    annotated: dict[str, Annotated] = {}
    members, constants, parameters = [], {}, None
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            annotated[item.target.id] = _annotated(item.annotation, item.value, imported)
        for name, value in _bound(item):
            members.append(name)
            if (plain := _literal(value)) is not None:
                constants[name] = plain
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            parameters = dict(_parameters(item.args, imported))
    is_dataclass = any(plain_name(part, imported) in DATACLASS for part in node.decorator_list)
    bases = [ast.unparse(base.value if isinstance(base, ast.Subscript) else base) for base in node.bases]
    return ClassSource(bases, is_dataclass, annotated, parameters, members, constants, dict(_signatures(node)))


def _signatures(node: ast.ClassDef) -> Iterator[tuple[str, Signature]]:
    for item in node.body:
        if isinstance(item, ast.FunctionDef):
            decorators = {ast.unparse(part).partition("(")[0].rpartition(".")[2] for part in item.decorator_list}
            if decorators <= TRANSPARENT:
                yield item.name, _signature(item.args, bound="staticmethod" not in decorators)


def _signature(given: ast.arguments, bound: bool) -> Signature:
    count = len(given.posonlyargs) + len(given.args) - bound
    required = [one.arg for one, value in zip(given.kwonlyargs, given.kw_defaults, strict=True) if value is None]
    return Signature(max(count - len(given.defaults), 0), -1 if given.vararg else max(count, 0), required)


def _bound(item: ast.stmt) -> Iterator[tuple[str, ast.expr | None]]:
    """The names that a statement of a class body binds, each with the assigned value, if any."""
    if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield item.name, None
        yield from ((name, None) for name in _set_on_self(item))
    elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and item.value is not None:
        yield item.target.id, item.value
    elif isinstance(item, ast.Assign):
        yield from ((target.id, item.value) for target in item.targets if isinstance(target, ast.Name))


def _set_on_self(method: ast.AST) -> Iterator[str]:
    """The attributes that a method sets on `self`."""
    for node in statements(method):
        for target in [*getattr(node, "targets", []), getattr(node, "target", None)]:
            if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
                yield target.attr


def _annotated(annotation: ast.expr, value: ast.expr | None, imported: dict[str, str]) -> Annotated:
    kind, inner = _kind(unquoted(annotation), imported)
    default, required = value, value is None
    if isinstance(value, ast.Call) and plain_name(value, imported) == "field":
        given = {keyword.arg: keyword.value for keyword in value.keywords}
        factory = given.get("default_factory")
        default = factory.body if isinstance(factory, ast.Lambda) else given.get("default")
        required = not {"default", "default_factory"} & given.keys()
        if _literal(given.get("init")) is False:
            kind = "hidden"
    return Annotated(written(inner, imported), kind, required, _literal(default), made_by(value, imported))


def _kind(annotation: ast.expr, imported: dict[str, str]) -> tuple[str, ast.expr]:
    name = plain_name(annotation.value if isinstance(annotation, ast.Subscript) else annotation, imported)
    if name == "KW_ONLY":
        return "class", annotation
    if name in SPECIAL:
        return SPECIAL[name], annotation.slice if isinstance(annotation, ast.Subscript) else annotation
    return "field", annotation


def _parameters(given: ast.arguments, imported: dict[str, str]) -> Iterator[tuple[str, Annotated]]:
    """The parameters of `__init__` that can be given by name, without `self`."""
    plain = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(plain) - len(given.defaults)) + [*given.defaults]
    arguments, values = [*plain[1:], *given.kwonlyargs], [*defaults[1:], *given.kw_defaults]
    for argument, default in zip(arguments, values, strict=True):
        annotation = argument.annotation or ast.Name("Any")
        yield argument.arg, Annotated(written(annotation, imported), "field", default is None, _literal(default))


def _literal(value: ast.expr | None) -> Any:
    """A number, a text or a list of them; None for anything else."""
    try:
        plain = None if value is None else ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError):
        return None
    items = plain if isinstance(plain, list | tuple) else [plain]
    return plain if all(isinstance(item, bool | int | float | str) for item in items) else None
