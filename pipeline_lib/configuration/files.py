"""Files that a figure needs, named by cell while the job graph is planned, before paths are known."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pipeline_lib.configuration.entries import CLEAN
from pipeline_lib.configuration.paths import Paths
from pipeline_lib.errors import PipelineError


class Cell(NamedTuple):
    """Predictions of `target` on clips of `attack` made on `source` (None for clean clips), and the related files."""

    dataset: str
    target: str
    attack: str
    source: str | None

    @property
    def predictions(self) -> "File":
        """One row per clip: video, label, prediction and loss."""
        return File("prediction", (self.dataset, self.target, self.source, self.attack), self)

    @property
    def adversarial(self) -> "File":
        """The stored clips."""
        return self._of_set("h5")

    @property
    def audit(self) -> "File":
        """The audit of the set: one row."""
        return self._of_set("audit.csv")

    @property
    def trace(self) -> "File":
        """Accuracy and loss of the set after each iteration."""
        return self._of_set("trace.csv")

    @property
    def features(self) -> "File":
        """Distances between the source's features of clean and of adversarial clips, stage by stage."""
        return File("features", (self.dataset, *self._made()), self._on_source())

    def feature_maps(self, stage: str, clip: int) -> "File":
        """What a stage of the source makes of one test clip (0 is the first), clean and under the attack."""
        return File("feature_maps", (self.dataset, *self._made(), stage, str(clip)), self._on_source())

    def _of_set(self, ending: str) -> "File":
        return File("adversarial", (self.dataset, *self._made(), ending), self._on_source())

    def _on_source(self) -> "Cell":
        return self._replace(target=self._made()[0])

    def _made(self) -> tuple[str, str]:
        if self.source is None:
            raise PipelineError(f"clean clips ({CLEAN!r}) are not an adversarial set: they have predictions only")
        return self.source, self.attack


class File(NamedTuple):
    """A file: the method of `Paths` that gives its path, that method's arguments, and the cell it belongs to."""

    kind: str
    arguments: tuple[str | None, ...]
    cell: Cell | None = None

    def path(self, paths: Paths) -> str:
        """The path below the folder of results."""
        return getattr(paths, self.kind)(*self.arguments)


def files_in(needs: Any) -> Iterator[File]:
    """All files in a nesting of mappings, lists and other plain data; some more than once."""
    if isinstance(needs, File):
        yield needs
    elif isinstance(needs, Mapping):
        for value in needs.values():
            yield from files_in(value)
    elif isinstance(needs, list | tuple):
        for value in needs:
            yield from files_in(value)


def with_paths(needs: Any, paths: Paths) -> Any:
    """The same nesting as plain data, with the path in place of each file."""
    if isinstance(needs, File):
        return needs.path(paths)
    if isinstance(needs, Mapping):
        return {str(key): with_paths(value, paths) for key, value in needs.items()}
    return [with_paths(value, paths) for value in needs] if isinstance(needs, list | tuple) else needs


def misplaced(needs: Any) -> Any:
    """The first value in a nesting that is neither a file nor plain data, or None."""
    if isinstance(needs, Cell):
        return needs
    if isinstance(needs, File) or needs is None or isinstance(needs, str | int | float):
        return None
    if not isinstance(needs, Mapping | list | tuple):
        return needs
    found = map(misplaced, needs.values() if isinstance(needs, Mapping) else needs)
    return next((value for value in found if value is not None), None)
