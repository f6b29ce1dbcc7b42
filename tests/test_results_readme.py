"""The text that says what each file of a folder of results is."""

import inspect
import re

import pytest

from pipeline_lib.configuration.paths import Paths
from pipeline_lib.reporting.readme import FILES, readme

NAMES = {
    "dataset": "DATASET",
    "split": "SPLIT",
    "model": "MODEL",
    "source": "SOURCE",
    "target": "TARGET",
    "attack": "ATTACK",
    "study": "STUDY",
    "cascade": "*",
    "ending": "csv",
    "stage": "STAGE",
    "clip": "CLIP",
}
LISTED = [path for files in FILES.values() for path in files]
# Those that return several paths are made of these.
METHODS = [
    name
    for name, function in inspect.getmembers(Paths, inspect.isfunction)
    if not name.startswith("_") and inspect.signature(function).return_annotation is str
]


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"log", "record", "table", "figure", "readme"}))
def test_every_kind_of_file_is_listed(method):
    function = getattr(Paths("RESULTS"), method)
    path = function(**{name: NAMES[name] for name in inspect.signature(function).parameters})
    stem = path.removeprefix("RESULTS/").partition(".")[0]
    name = stem.rpartition("/")[2]  # some lines list two names of one folder
    assert [one for one in LISTED if one.startswith(stem) or (one.startswith(stem.removesuffix(name)) and name in one)]


def test_the_text_has_a_row_for_each():
    assert re.findall(r"^\| `([^`]+)` \| \S.* \|$", readme(), re.MULTILINE) == LISTED
    assert readme().endswith("|\n")
