"""Passes of the worst cases of a finished run, from its logs: what their fraction of all passes is made of.

    python benchmarks/cascades.py --results results/synthetic

For each set: clips, and those that each attack of the cascade met; clips that withstand all; the passes as a fraction
of those of all attacks on all clips; the least possible fraction, as the first attack meets every clip, and a clip that
withstands meets every attack; and the difference, which is spent on clips that fall.
"""

import argparse
import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

BATCH = re.compile(r"strongest: ([\d, ]+) of \d+ clips per attack in sequence, (\d+) passes")


class Cascade(NamedTuple):
    """met: clips by attack. withstand: clips that are correct in the end. passes: of all attacks on their clips."""

    met: list[int]
    withstand: int
    passes: int

    def row(self, steps: list[int]) -> str:
        """The last columns of the table. steps: of each attack."""
        every = self.met[0] * sum(steps)
        least = (self.met[0] * steps[0] + self.withstand * sum(steps[1:])) / every
        found = f"{self.passes / every:.3f} | {least:.3f} | {self.passes / every - least:.3f}"
        return f"{', '.join(map(str, self.met))} | {self.withstand} | {found}"


def cascade(log: Path, predictions: Path) -> Cascade:
    batches = BATCH.findall(log.read_text())
    met = [sum(column) for column in zip(*(map(int, counts.split(",")) for counts, _ in batches), strict=True)]
    with predictions.open(newline="") as file:
        withstand = sum(row["label"] == row["prediction"] for row in csv.DictReader(file))
    return Cascade(met, withstand, sum(int(passes) for _, passes in batches))


def sets(results: Path) -> Iterator[tuple[str, Path, Path]]:
    """Name, log and predictions of each worst case, on the model itself."""
    for predictions in sorted(results.glob("predictions/*/*/*_worst.csv")):
        source, attack = predictions.parent.name, predictions.stem
        log = results / "logs/attack" / source / f"{attack}.log"
        if log.is_file():
            yield f"{source}, {attack}", log, predictions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results/synthetic"))
    parser.add_argument("--steps", type=int, nargs="+", default=[3, 20, 40], help="of each attack; default: the demo's")
    options = parser.parse_args()
    print("| model, attack | clips that each attack meets | withstand | passes | least | on clips that fall |")
    print("|---|---|---:|---:|---:|---:|")
    for name, log, predictions in sets(options.results):
        print(f"| {name} | {cascade(log, predictions).row(options.steps)} |")


if __name__ == "__main__":
    main()
