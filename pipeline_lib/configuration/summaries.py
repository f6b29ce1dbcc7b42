"""The summaries of a study's table: names of functions, checked while the job graph is planned."""

import ast
from collections.abc import Collection, Iterator, Sequence

from pipeline_lib.configuration.messages import fail
from pipeline_lib.entries.methods import SUMMARIES
from pipeline_lib.errors import PipelineError, known
from pipeline_lib.provenance.module_files import source_file


def resolve_summaries(where: str, names: Sequence[str], columns: Collection[str]) -> list[dict[str, str]]:
    """For each summary its column in the table, and as `method` its `module:function`.

    Raises:
        PipelineError: an unknown name, no such function in the user's file, or a column that exists already.
    """
    summaries: list[dict[str, str]] = []
    for i, name in enumerate(names):
        column = name.rpartition(":")[2]
        if column in columns or column in {other["column"] for other in summaries}:
            raise fail(f"{where}[{i}]", f"the table already has a column {column!r}")
        summaries.append({"column": column, "method": SUMMARIES.get(name) or _own(f"{where}[{i}]", name)})
    return summaries


def _own(where: str, name: str) -> str:
    module, colon, function = name.partition(":")
    if not colon:
        raise fail(where, f"unknown summary {name!r}, and no 'module:function' of your own; {known(SUMMARIES, name)}")
    path = source_file(module)
    try:
        names = set(_bound(ast.parse(path.read_bytes())))
    except SyntaxError as error:
        raise PipelineError(f"{path}: line {error.lineno}: {error.msg}") from None
    if function not in names:
        raise fail(where, f"{path} has no function {function!r}")
    return name


def _bound(tree: ast.Module) -> Iterator[str]:
    """The names that a file binds to functions, by definition, assignment or import."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
