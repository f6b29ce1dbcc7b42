"""Changed copies of functions, and the processes that they are tried in."""

import logging
import os
import signal
from pathlib import Path

import pytest

from mutations import mutants
from quick_mutants import files_of, forked

SOURCE = '''"""A file."""

LIMIT = 3


def decorate(function):
    return function


class Shape:
    size: int = 4

    @decorate
    def area(self, scale: float = 2) -> float:
        """Its area."""
        if self.size > 0 and not scale:
            raise ValueError("no scale", 7)
        LOGGER.info("area %s", 8)

        def inner(times):
            return -times

        return float(inner(9), device=2, base=True) + len(f"{scale}!")
'''
SUM = "float(inner(9), device=2, base=True) + len(f'{scale}!')"
CHANGES = [
    "self.size > 0 and (not scale) -> self.size > 0 or not scale",
    "self.size > 0 -> self.size >= 0",
    "0 -> 1",
    "not scale -> scale",
    "-times -> times",
    f"{SUM} -> {SUM.replace('+', '-')}",
    "float(inner(9), device=2, base=True) -> float(inner(9), device=2)",
    "9 -> 10",
    "True -> False",
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "shape.py"
    path.write_text(SOURCE)
    return path


def test_each_expression_of_a_function_is_changed_once(source):
    """Not those outside of functions, and no default values, annotations, decorators, errors, logs or texts."""
    found = [mutant.key.removeprefix("shape.py:") for mutant in mutants(source, "shape.py")]
    named = [key.partition(": ")[2].removesuffix(" #1") for key in found if key.startswith("Shape.area: ")]
    assert len(named) == len(found)
    assert sorted(named) == sorted(CHANGES)


def test_the_changed_code_is_that_of_the_function(source):
    exec(compile(SOURCE, str(source), "exec"), names := {"LOGGER": logging.getLogger("area")})
    area = names["Shape"].area
    names["float"] = lambda value, **given: value
    assert area(names["Shape"]()) == -9 + 2
    changed = next(mutant for mutant in mutants(source, "shape.py") if "9 -> 10" in mutant.key)
    assert (changed.start, changed.line) == (area.__code__.co_firstlineno, 23)
    area.__code__ = changed.code
    assert area(names["Shape"]()) == -10 + 2


def test_equal_changes_of_a_function_have_keys_of_their_own(tmp_path):
    path = tmp_path / "same.py"
    path.write_text("def same(x):\n    return x[0] + x[0]\n")
    keys = [mutant.key for mutant in mutants(path, "same.py")]
    assert keys[1:] == ["same.py:same: 0 -> 1 #1", "same.py:same: 0 -> 1 #2"]


def test_an_action_returns_from_its_process():
    status, found = forked(lambda: [os.getpid(), "done"], cpu=5, wall=60)
    assert status == 0
    assert found[0] != os.getpid()
    assert found[1] == "done"


def test_a_process_without_an_end_is_stopped_by_its_own_time():
    def endless() -> None:
        while True:
            pass

    status, found = forked(endless, cpu=0, wall=600)
    assert found is None
    assert os.WTERMSIG(status) == signal.SIGXCPU


def test_a_process_that_waits_is_stopped_too():
    status, _ = forked(lambda: signal.pause(), cpu=5, wall=0.2)
    assert os.WTERMSIG(status) == signal.SIGALRM


def test_rooms_and_modules_are_those_of_the_configuration():
    rooms = {path.parts[path.parts.index("pipeline_lib") + 1] for path in files_of("")}
    assert {"attacks", "defenses", "networks", "training", "evaluation", "reporting"} <= rooms
    assert [path.name for path in files_of("jobs/runs")] == ["runs.py"]
    assert "workers.py" not in {path.name for path in files_of("training")}
    assert files_of("attack") == []
