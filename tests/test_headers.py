"""The costs in the heads of configurations."""

import os
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
from headers import SENTENCE, configurations, cost, head_of, sentence, with_cost  # noqa: E402

LARGE_ONES = (
    *("cifar10", "cifar10_gpu", "framing", "framing_published", "halftone", "halftone_video", "multav", "multibn"),
    *("multibn_draft", "multibn_hmdb51", "multibn_sweeps", "oudefend", "ucf101_3class_gpu"),
)
LARGE = sentence("multav.yaml", 87, 2770.4, 492.6, 88.3)
SMALL = sentence("demo.yaml", 245, 0.045, 0.125, 0.52)


def test_a_cost_names_its_command_and_a_device_that_fits_it() -> None:
    assert LARGE == (
        'Cost by `make plan CONFIG=config/multav.yaml PLAN="--gpu a100"`: 87 jobs, 2,770 PFLOP (493 hours of one A100, '
        "at the utilization that the plan assumes), 88 GB."
    )
    assert SMALL == (
        "Cost by `make plan CONFIG=config/demo.yaml`: 245 jobs, 0.045 PFLOP (0.12 hours of two cores at 0.15 TFLOP/s "
        "each), 0.52 GB."
    )


@pytest.mark.parametrize(
    "head",
    [
        "# Title.\n",
        "# Title.\n# Not run. Its cost by `make plan`: 3 jobs,\n# 4 PFLOP, 5 GB. Expected: 3.\n# More.\n",
        "",
    ],
)
def test_a_head_has_one_cost_and_keeps_everything_else(head: str) -> None:
    text = head + "\nresults: here # GB.\n"
    once = with_cost(text, LARGE)
    assert with_cost(once, LARGE) == once
    assert once.endswith("\nresults: here # GB.\n")
    words = " ".join(head_of(once))
    assert words.count("make plan") == 1
    assert LARGE in words
    assert [words.replace(LARGE, "").split()] == [SENTENCE.sub("", " ".join(head_of(text))).split()]
    assert [line for line in once.splitlines() if line.count("`") % 2] == []
    assert max(map(len, once.splitlines())) <= 132


def test_large_configurations_state_their_own_cost() -> None:
    found = {path.stem: SENTENCE.search(" ".join(head_of(path.read_text()))) for path in configurations()}
    stated = {name: words[0] for name, words in found.items() if words}
    assert [name for name, words in stated.items() if f"`make plan CONFIG=config/{name}.yaml" not in words] == []
    assert set(LARGE_ONES) <= set(stated)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["multav.yaml", "cifar10_gpu.yaml"])
def test_a_cost_is_that_of_the_plan(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(os.path.relpath(ROOT / "config" / name)).resolve()
    text = path.read_text()
    assert with_cost(text, cost(path)) == text


@pytest.mark.slow
def test_hours_contain_what_transforms_take_outside_of_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes of ffmpeg for each clip of each pass take longer than the network in between."""
    monkeypatch.chdir(tmp_path)
    words = cost(ROOT / "config/video_codecs.yaml")
    petaflop, hours = map(float, re.search(r"([\d.]+) PFLOP \(([\d.]+) hours of two cores", words).groups())
    assert hours > 3 * petaflop * 1000 / (2 * 0.15) / 3600
