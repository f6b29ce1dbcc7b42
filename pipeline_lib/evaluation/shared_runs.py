"""Sets whose attacks differ in their number of iterations only, from one run: that of the most iterations.

The job of the longest attack leaves the finished clips of the shorter ones where their own jobs look for what an
interrupted job has finished. Each set is therefore the same, however it was made.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline_lib.evaluation.attacked import AttackedClips
from pipeline_lib.evaluation.crafting import Crafting, Found, LabelledClips, attack_clips_in_one_run
from pipeline_lib.evaluation.shards import finished_rows, write_shard
from pipeline_lib.jobs.forcing import marked_by
from pipeline_lib.jobs.logs import LOGGER
from pipeline_lib.jobs.runs import run_folder_if_free


@dataclass(frozen=True)
class Shorter:
    """An attack of fewer iterations: its run folder, and the rows of the clips that are finished there."""

    crafting: Crafting
    folder: Path
    finished: frozenset[int]

    def keep(self, rows: np.ndarray, attacked: AttackedClips, chunks: Sequence[bytes]) -> None:
        """Writes finished clips, unless some of them are there: clips must not be in two shards."""
        if self.finished.isdisjoint(rows.tolist()):
            write_shard(self.folder, rows, attacked, chunks)


def attacking_also(shorter: Sequence[Shorter]) -> Callable[[Crafting, LabelledClips, np.ndarray, np.ndarray], Found]:
    """`attack_clips` of an attack, which keeps the clips of shorter ones. They are written before its own, so that none
    is missing where its own are finished."""

    def attack(crafting: Crafting, data: LabelledClips, rows: np.ndarray, frames: np.ndarray) -> Found:
        craftings = [*(one.crafting for one in shorter), crafting]
        *before, found = attack_clips_in_one_run(craftings, data, rows, frames)
        for one, ended in zip(shorter, before, strict=True):
            one.keep(rows, *ended)
        return found

    return attack


@contextmanager
def run_folders(root: Path, found: Sequence[tuple[str, Path, Crafting]]) -> Iterator[list[Shorter]]:
    """The attacks whose run folder no other process uses; the folders are locked inside.

    root: the folder of run folders. found: the key of each attack's run folder, the mark of its job if the user forces
    it, and its crafting, in increasing order of iterations.
    """
    with ExitStack() as stack:
        shorter = []
        for key, mark, crafting in found:
            with marked_by(mark):
                folder = stack.enter_context(run_folder_if_free(root, key))
            if folder is None:
                LOGGER.info("%s is in use: its job makes its own clips", root / key)
            else:
                shorter.append(Shorter(crafting, folder, frozenset(finished_rows(folder))))
        yield shorter
