"""The table of claims: whether what a paper states holds on these clips, under its attacks and in the worst case.

A claim is one or several comparisons of two cells. It holds if all of them do, and does not hold if one of them fails:
its p-value for the first is the largest one of its comparisons (an intersection-union test), for the second the
smallest times their number (Bonferroni). Holm's correction is for all claims of the table that are computed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pipeline_lib.configuration.claim_cells import is_computed, studies_of
from pipeline_lib.reporting.claim_findings import (
    Finding,
    agreeing_seeds,
    clips_that_decide,
    finding,
    is_true,
    largest,
    pair_text,
    seeds_that_decide,
    smallest,
    surplus,
)
from pipeline_lib.reporting.claim_numbers import (
    Layouts,
    Measurements,
    in_the_worst_case,
    own_numbers,
    places_of,
    worst_numbers,
)
from pipeline_lib.reporting.paired import LEVEL, holm

HOLDS, FAILS, UNDECIDED, NOT_COMPUTED = "holds", "does not hold", "undecided", "not computed"
WORST = "worst_"
RESULTS = (
    *("outcome", "compared", "pair", "difference", "low", "high"),
    *("p", "p_holm", "n", "seeds", "agreeing", "needed_clips", "needed_seeds", "faults"),
)
COLUMNS = (
    *("id", "work", "place", "statement", "studies", "comparisons"),
    *(*RESULTS, *(WORST + name for name in RESULTS), "printed", "note"),
)
NUMBERS = [before + name for before in ("", WORST) for name in ("difference", "low", "high", "p", "p_holm")]
EACH = ("compared", "n", "agreeing", "needed_clips", "needed_seeds")
COUNTS = [before + name for before in ("", WORST) for name in EACH] + ["comparisons"]
Claim = Mapping[str, Any]


def build_claims(claims: Sequence[Claim], layouts: Layouts) -> pd.DataFrame:
    """Return the table of claims, a row for each, `COLUMNS`; missing values are empty.

    claims: resolved (`claim_cells.resolve_claims`). layouts: study -> layout (`tables.build_table`) of the studies that
    they compare.

    comparisons, compared: their number, and that of those that the configuration computes. outcome: `HOLDS`, `FAILS`,
    `UNDECIDED` (p after Holm's correction is not below 5 %) or `NOT_COMPUTED`. pair, difference, low, high: the
    comparison that decides, first minus second in points, with its 95 % interval. p: of the claim. agreeing: in how
    many of the seeds that difference has the same sign (p is about other clips for these trained models). needed_clips,
    needed_seeds: samples that would decide an undecided claim. faults: of the compared cells, according to the audit.
    worst_*: the same in the worst case, empty for claims without one. printed: the outcome of the printed numbers.
    """
    computed = [{**claim, "comparisons": [*filter(is_computed, claim["comparisons"])]} for claim in claims]
    own = results(computed, own_numbers(layouts))
    worst = results([in_the_worst_case(claim, layouts) for claim in computed], worst_numbers(layouts))
    records = [
        described(claim) | {"outcome": NOT_COMPUTED} | found | {WORST + key: value for key, value in beside.items()}
        for claim, found, beside in zip(claims, own, worst, strict=True)
    ]
    table = pd.DataFrame(records, columns=list(COLUMNS))
    table = table.astype(dict.fromkeys(NUMBERS, float) | dict.fromkeys(COUNTS, "Int64"))
    texts = [name for name in COLUMNS if name not in (*NUMBERS, *COUNTS)]
    return table.assign(**{name: table[name].astype(object).fillna("").astype(str) for name in texts})


def described(claim: Claim) -> dict[str, Any]:
    """Return the columns of a claim that do not depend on whether it is computed."""
    about = {key: claim[key] for key in ("id", "work", "place", "statement", "note")}
    studies = " ".join(studies_of([claim]))
    return {**about, "studies": studies, "comparisons": len(claim["comparisons"]), "printed": printed_outcome(claim)}


def printed_outcome(claim: Claim) -> str:
    """Return the outcome of a claim on the printed numbers, empty if none of its comparisons is printed."""
    printed = [one for one in claim["comparisons"] if one["printed"]]
    if not printed:
        return ""
    return HOLDS if all(is_true(one, *one["printed"]) for one in printed) else FAILS


def results(claims: Sequence[Claim], measured: Measurements) -> list[dict[str, Any]]:
    """Return `RESULTS` of each claim, empty for one without comparisons."""
    found = [[finding(one, *map(measured.cell, places_of(one))) for one in claim["comparisons"]] for claim in claims]
    p = [min(p_values(each)) if each else float("nan") for each in found]
    level = LEVEL / max(1, sum(map(bool, found)))
    return [
        result(each, corrected, level) | {"p": value, "faults": faults(each, measured)} if each else {}
        for each, value, corrected in zip(found, p, holm(p), strict=True)
    ]


def p_values(findings: Sequence[Finding]) -> tuple[float, float]:
    """Return the p-values of a claim holding, and of its not holding."""
    return max(one.holds for one in findings), min(1.0, len(findings) * min(one.fails for one in findings))


def result(findings: Sequence[Finding], corrected: float, level: float) -> dict[str, Any]:
    """Return the outcome of a claim and the comparison that decides it. corrected: its p; level: for samples."""
    holds, fails = p_values(findings)
    decides = deciding(findings)
    outcome = (HOLDS if holds < fails else FAILS) if corrected < LEVEL else UNDECIDED
    found = decides.found
    seen = {} if found is None else {"low": found.low, "high": found.high, "n": found.n}
    return {
        **{"outcome": outcome, "compared": len(findings), "pair": pair_text(decides.comparison)},
        **{"difference": decides.difference, "p_holm": corrected, **seen},
        "seeds": "" if found is None else " ".join(map(str, found.seeds)),
        "agreeing": agreeing_seeds(decides),
        **(samples(findings, level) if outcome == UNDECIDED else {}),
    }


def deciding(findings: Sequence[Finding]) -> Finding:
    """Return the comparison that decides a claim: the one with most evidence against it, or least for it.

    Among equal p-values, as those below the smallest number of the computer, the one that satisfies it least.
    """
    return min(findings, key=lambda one: (one.fails, -one.holds, surplus(one.comparison, one.difference)))


def samples(findings: Sequence[Finding], level: float) -> dict[str, int | None]:
    """Return the numbers of clips and of seeds that would decide a claim, if the differences stay as they are."""
    # By the difference: the p-values of a single clip are 1 in both directions.
    against = [one for one in findings if surplus(one.comparison, one.difference) < 0]
    ways = {"needed_clips": clips_that_decide, "needed_seeds": seeds_that_decide}
    if against:  # one of them is enough
        return {key: smallest([way(one, level / len(findings)) for one in against]) for key, way in ways.items()}
    return {key: largest([way(one, level) for one in findings]) for key, way in ways.items()}


def faults(findings: Sequence[Finding], measured: Measurements) -> str:
    """Return the faults of the compared cells, as text."""
    places = [place for one in findings for place in places_of(one.comparison)]
    words = {word for place in places for word in measured.faults[place].split(", ")}
    return ", ".join(sorted(words - {""}))
