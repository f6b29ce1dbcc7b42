"""Paths of the workflow's files: the interface between its rules, and what users find on disk."""

import pytest

from pipeline_lib.configuration.paths import Paths
from pipeline_lib.jobs.run_files import CONFIG

PATHS = Paths("out")
CELL = {"target": "multibn-s0", "source": "standard-s0", "attack": "pgd"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (PATHS.rendered("d"), "out/d/rendered"),
        (PATHS.downloaded("d"), "out/d/downloaded"),
        (PATHS.clips("d", "train"), "out/d/clips/train.h5"),
        (PATHS.weights("d", "standard-s0"), "out/d/models/standard-s0.pt"),
        (PATHS.history("d", "standard-s0"), "out/d/models/standard-s0.csv"),
        (PATHS.adversarial("d", "standard-s0", "pgd"), "out/d/adversarial/standard-s0/pgd.h5"),
        (PATHS.adversarial("d", "standard-s0", "pgd", "audit.csv"), "out/d/adversarial/standard-s0/pgd.audit.csv"),
        (PATHS.prediction("d", **CELL), "out/d/predictions/multibn-s0/standard-s0/pgd.csv"),
        (PATHS.features("d", "standard-s0", "pgd"), "out/d/features/standard-s0/pgd.csv"),
        (PATHS.feature_maps("d", "standard-s0", "pgd", "layer1", 0), "out/d/feature_maps/standard-s0/pgd/layer1-0.npz"),
        (PATHS.table("audit", "csv"), "out/tables/audit.csv"),
        (PATHS.figure("chart_multav", "pdf"), "out/figures/chart_multav.pdf"),
        (PATHS.differences("multav", "csv"), "out/tables/differences/multav.csv"),
        (PATHS.summary(), "out/summary.json"),
        (PATHS.opening(), "out/tables/opening.rst"),
        (PATHS.front(), "out/tables/front.rst"),
        (PATHS.report(), "out/report.html"),
        (PATHS.readme(), "out/README.md"),
        (PATHS.configuration(), f"out/{CONFIG}"),
        (PATHS.log("decode/train", "d"), "out/d/logs/decode/train.log"),
        (PATHS.log("audit"), "out/logs/audit.log"),
    ],
)
def test_the_files_lie_where_the_documentation_says(path, expected):
    assert path == expected


def test_predictions_on_clean_clips_have_no_source():
    assert PATHS.prediction("d", "standard-s0", None, "clean") == "out/d/predictions/standard-s0/clean.csv"


def test_the_path_of_a_cell_is_the_pattern_of_its_rule_with_the_wildcards_replaced():
    pattern = PATHS.prediction("{dataset}", "{target}", "{source}", "{attack}")
    assert pattern.format(dataset="d", **CELL) == PATHS.prediction("d", **CELL)
