"""What several test files share. Modules beside the tests can be imported by them."""

import json
import os
import sys
import time
from collections import Counter
from itertools import accumulate
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def finished_project(tmp_path_factory) -> Path:
    """A copy of the project whose whole workflow counts as done."""
    from planning import copy_project, pretend_finished

    project = copy_project(tmp_path_factory.mktemp("project"))
    pretend_finished(project)
    return project


@pytest.fixture
def edit(finished_project):
    """Changes a file of the finished project for one test, and puts it back as it was, its time included."""
    saved = {}

    def change(name: str, old: str, new: str) -> None:
        path = finished_project / name
        saved.setdefault(path, (path.read_text(), path.stat().st_mtime_ns))
        assert old in path.read_text(), f"{name} has no {old!r}"
        path.write_text(path.read_text().replace(old, new))

    yield change
    for path, (text, when) in saved.items():
        path.write_text(text)
        os.utime(path, ns=(when, when))


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    """A folder with clips and a trained model, `plain.pt`."""
    import tiny
    from training_runs import trained

    folder = tmp_path_factory.mktemp("made")
    clips = tiny.write_clips(folder / "clips.h5")
    trained(folder, tiny.model_entry(tiny.STANDARD) | {"training": tiny.TRAINING | {"epochs": 6}}, clips, "plain")
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A copy of the project whose whole workflow counts as done."""
    from planning import copy_project, pretend_finished

    project = copy_project(tmp_path_factory.mktemp("project"))
    pretend_finished(project)
    return project


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory) -> dict[tuple[str, ...], Path]:
    """By what is given to the configuration: a folder in which all ran, and nothing happened."""
    from faulty import STRONGER, finish

    found = {}
    for given in ((), STRONGER):
        found[given] = tmp_path_factory.mktemp("undisturbed")
        began = time.monotonic()
        finish(found[given], given=given)
        (found[given] / "seconds").write_text(str(time.monotonic() - began))
    return found


@pytest.fixture
def whole(undisturbed) -> Path:
    return undisturbed[()]


@pytest.fixture
def stronger(undisturbed) -> Path:
    from faulty import STRONGER

    return undisturbed[STRONGER]


MUTANT_SECONDS = 5.0


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """`make mutants`: the tests of a mutant, fastest files first, as many of them as take `MUTANT_SECONDS` together.

    mutmut measures how long each takes, and runs them in no order; a mutant that survives would be met by all of
    them, which for a function that every training calls are minutes.
    """
    measured = Path("mutmut-stats.json")
    if os.environ.get("MUTANT_UNDER_TEST", "stats") in ("stats", "list_all_tests", "fail") or not measured.exists():
        return
    seconds = json.loads(measured.read_text())["duration_by_test"]
    of_file: Counter[Path] = Counter()
    for item in items:
        of_file[item.path] += seconds.get(item.nodeid, 0.0)
    items.sort(key=lambda item: (of_file[item.path], item.path, seconds.get(item.nodeid, 0.0)))
    until = accumulate(seconds.get(item.nodeid, 0.0) for item in items)
    kept = sum(total <= MUTANT_SECONDS for total in until)
    config.hook.pytest_deselected(items=items[kept:])
    items[kept:] = []
