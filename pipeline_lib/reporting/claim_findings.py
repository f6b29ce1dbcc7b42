"""One comparison of a claim: the evidence of the clips for and against it, and the sample that would decide it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline_lib.configuration.claims import LOWER, SIMILAR
from pipeline_lib.reporting.decisions import clips_needed, seeds_needed
from pipeline_lib.reporting.equivalence import clips_for_similarity, similarity
from pipeline_lib.reporting.measured import Measured
from pipeline_lib.reporting.paired import Comparison, by_clip_and_seed, compare


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A comparison (resolved, of `claim_cells`) with the p-values of its being true (`holds`) and false (`fails`).

    difference: first minus second in points. found: None without common seeds, or for a summary without scores: both
    p-values are 1. changes: differences of scores, clips x seeds.
    """

    comparison: Mapping[str, Any]
    difference: float
    holds: float
    fails: float
    found: Comparison | None
    changes: np.ndarray | None


def finding(comparison: Mapping[str, Any], first: Measured, second: Measured) -> Finding:
    """Return the evidence of two cells on a comparison.

    higher, lower: the exact two-sided p of the clips' differences, in the direction of the difference; 1 in the other.
    similar: `equivalence.similarity`.
    """
    plain: dict[str, Any] = {"comparison": comparison, "difference": first.cell.measured - second.cell.measured}
    names = [text for cell in (comparison["first"], comparison["second"]) for text in cell.values()]
    pair = None if first.scores is None or second.scores is None else compare(first.scores, second.scores, *names)
    if pair is None or first.scores is None or second.scores is None:
        return Finding(**plain, holds=1.0, fails=1.0, found=None, changes=None)
    holds, fails = p_values(comparison, pair)
    changes = by_clip_and_seed(first.scores, second.scores)
    return Finding(**plain | {"difference": pair.difference}, holds=holds, fails=fails, found=pair, changes=changes)


def p_values(comparison: Mapping[str, Any], pair: Comparison) -> tuple[float, float]:
    """Return the p-values of a comparison being true and false."""
    if comparison["relation"] == SIMILAR:
        return similarity(pair.per_clip, comparison["margin"] / 100)
    stated = surplus(comparison, pair.difference)
    return (pair.p if stated > 0 else 1.0), (pair.p if stated < 0 else 1.0)


def surplus(comparison: Mapping[str, Any], difference: float) -> float:
    """Return by how many points a difference, first minus second, satisfies a comparison; negative if it does not."""
    if comparison["relation"] == SIMILAR:
        return float(comparison["margin"]) - abs(difference)
    return -difference if comparison["relation"] == LOWER else difference


def is_true(comparison: Mapping[str, Any], first: float, second: float) -> bool:
    """Return whether two numbers, in percent, satisfy a comparison, without a test."""
    above = surplus(comparison, first - second)
    return above >= -1e-9 if comparison["relation"] == SIMILAR else above > 0


def clips_that_decide(one: Finding, level: float) -> int | None:
    """Return the number of clips that decides a comparison at a level, None if no number does."""
    if one.found is None:
        return None
    if one.comparison["relation"] == SIMILAR:
        return clips_for_similarity(one.found.per_clip, one.comparison["margin"] / 100, level)
    return clips_needed(one.found.per_clip, level)


def seeds_that_decide(one: Finding, level: float) -> int | None:
    """Return the number of seeds that decides a comparison on the same clips, None if none does, from one seed, and for
    similarity."""
    if one.changes is None or one.comparison["relation"] == SIMILAR:
        return None
    return seeds_needed(one.changes, level)


def agreeing_seeds(one: Finding) -> int | None:
    """Return in how many seeds the difference has the sign of its mean; None without scores, and for similarity."""
    if one.changes is None or one.comparison["relation"] == SIMILAR:
        return None
    return int((np.sign(one.changes.mean(axis=0)) == np.sign(one.changes.mean())).sum())


def pair_text(comparison: Mapping[str, Any]) -> str:
    """Return the two cells in words, for example `MultiBN - AVG, union`."""
    first, second = comparison["first"], comparison["second"]
    minus = "\u2212"
    if first["table"] != second["table"]:
        ours, theirs = (f"{cell['row']} {cell['column']} ({cell['table']})" for cell in (first, second))
        return f"{ours} {minus} {theirs}"
    if first["column"] == second["column"]:
        return f"{first['row']} {minus} {second['row']}, {first['column']}"
    if first["row"] == second["row"]:
        return f"{first['row']}, {first['column']} {minus} {second['column']}"
    return f"{first['row']} {first['column']} {minus} {second['row']} {second['column']}"


def smallest(numbers: Sequence[int | None]) -> int | None:
    """Return the smallest given number, None without any."""
    return min((number for number in numbers if number is not None), default=None)


def largest(numbers: Sequence[int | None]) -> int | None:
    """Return the largest number, None if any is missing."""
    given = [number for number in numbers if number is not None]
    return max(given) if given and len(given) == len(numbers) else None
