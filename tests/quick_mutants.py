"""Mutation tests of whole rooms, faster than mutmut: one process imports everything, and is forked for each mutant.

    python tests/quick_mutants.py --room defenses                       # resumable: its results are in mutants/
    python tests/quick_mutants.py --room defenses --again --seconds 60  # survivors again, with more of their tests
    python tests/quick_mutants.py --room defenses --tests test_draws.py test_multibn.py

First each test runs alone, which gives its time and the functions that it reaches. Then each mutant meets the tests
that reach its function, the fastest first, as many as take `--seconds` together. Limits are in seconds of processor
time: other programs kill no mutant. Files and tests that are left out are those of mutmut's configuration.
"""

import argparse
import gc
import importlib
import json
import os
import resource
import signal
import sys
import tempfile
import threading
import tomllib
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from mutations import Mutant, mutants  # noqa: E402

MUTMUT = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutmut"]
SURVIVED, KILLED, ENDLESS, WAITING, UNREACHED = "survived", "killed", "endless", "waiting", "no test"
LOADED_LATER = ("sympy", "torch._dynamo", "torch.testing", "scipy.stats")  # by the first test that needs them
MEMORY = 4 * 2**30  # what a mutant may use in addition to what is imported
Place = tuple[str, str, int]  # file, qualified name and first line of a function


def files_of(room: str) -> list[Path]:
    """The files of a room, of one module, or all, that mutmut's configuration names."""
    found = {path for pattern in MUTMUT["only_mutate"] for path in ROOT.glob(pattern.replace("/*", "/**/*.py"))}
    left_out = {ROOT / name for name in MUTMUT["do_not_mutate"]}
    wanted = f"pipeline_lib/{room}".rstrip("/")
    return sorted(p for p in found - left_out if str(p.relative_to(ROOT)).startswith((f"{wanted}/", f"{wanted}.py")))


def forked(action: Callable[[], Any], cpu: float, wall: float) -> tuple[int, Any]:
    """What an action returns in a process of its own, and that process's status as `os.waitpid` gives it."""
    sys.stdout.flush()
    reading, writing = os.pipe()
    if not (child := os.fork()):
        os.close(reading)
        resource.setrlimit(resource.RLIMIT_CPU, (int(cpu) + 1, int(cpu) + 10))
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        signal.setitimer(signal.ITIMER_REAL, wall)
        silent = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silent, stream)
        try:
            os.write(writing, json.dumps(action()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    return status, json.loads(answer) if answer else None


class Runner:
    """A plugin of pytest that replaces the loop over all tests."""

    def __init__(self, options: argparse.Namespace, files: list[Path]) -> None:
        self.options, self.files, self.failed = options, files, False
        self.folder = ROOT / "mutants"
        self.folder.mkdir(exist_ok=True)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed |= report.failed

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        names = {str(path): str(path.relative_to(ROOT / "pipeline_lib")) for path in files_of("")}
        modules = [f"pipeline_lib.{name.removesuffix('.py').replace('/', '.')}" for name in names.values()]
        for module in (*LOADED_LATER, *modules):
            importlib.import_module(module)
        functions = live_functions(names)
        gc.freeze()
        measured = self.measure(session.items, names)
        self.try_all(session.items, functions, measured)
        return True

    def runs(self, items: list[pytest.Item]) -> bool:
        """Whether all tests pass, up to the first that does not."""
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.failed:
                return False
        return True

    def measure(self, items: list[pytest.Item], names: dict[str, str]) -> dict[str, Any]:
        """Of each test whether it passes, its seconds, and the functions of all files that it reaches."""
        path = self.folder / "reached.jsonl"
        found = {name: one for line in lines(path) for name, one in line.items()}
        with path.open("a") as file:
            for item in items:
                if item.nodeid not in found:
                    _, one = forked(lambda item=item: self.trace(item, names), cpu=60, wall=600)
                    found[item.nodeid] = one or {"passed": False}
                    print(json.dumps({item.nodeid: found[item.nodeid]}), file=file, flush=True)
        return {name: one for name, one in found.items() if one["passed"]}

    def trace(self, item: pytest.Item, names: dict[str, str]) -> dict[str, Any]:
        seen: dict[int, Any] = {}

        def call(frame: Any, event: str, argument: Any) -> None:
            seen[id(frame.f_code)] = frame.f_code

        threading.settrace(call)
        sys.settrace(call)
        passed = self.runs([item])
        sys.settrace(None)
        reached = [
            (names[one.co_filename], one.co_qualname.partition(".<locals>")[0], one.co_firstlineno)
            for one in seen.values()
            if one.co_filename in names and "<locals>" not in one.co_qualname
        ]
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        seconds = sum(one.ru_utime + one.ru_stime for one in used)
        return {"passed": passed, "seconds": seconds, "reached": reached}

    def try_all(self, items: list[pytest.Item], functions: dict[Place, list[FunctionType]], measured: Any) -> None:
        """Try the mutants that have no result yet, or with `--again` the survivors, and print what is known of all."""
        path = self.folder / f"{self.options.room.replace('/', '.')}.jsonl"
        known = {line["key"]: line for line in lines(path)}
        by_place: dict[Place, list[pytest.Item]] = {}
        for item in sorted(items, key=lambda item: measured.get(item.nodeid, {"seconds": 0})["seconds"]):
            for place in measured.get(item.nodeid, {"reached": []})["reached"]:
                by_place.setdefault(tuple(place), []).append(item)
        current = set()
        with path.open("a") as file:
            for name, mutant in self.all_mutants():
                current.add(mutant.key)
                place = (name, mutant.function, mutant.start)
                before = known.get(mutant.key, {}).get("result")
                tests = by_place.get(place, [])
                if before is None or (self.options.again and tests and before not in (KILLED, ENDLESS)):
                    result = self.result(mutant, tests, functions.get(place, []), measured)
                    known[mutant.key] = {"key": mutant.key, "line": mutant.line, "result": result}
                    print(json.dumps(known[mutant.key]), file=file, flush=True)
        report([one for key, one in known.items() if key in current])

    def all_mutants(self) -> Iterator[tuple[str, Mutant]]:
        for path in self.files:
            name = str(path.relative_to(ROOT / "pipeline_lib"))
            yield from ((name, mutant) for mutant in mutants(path, name))

    def result(self, mutant: Mutant, tests: list[pytest.Item], functions: list[FunctionType], measured: Any) -> str:
        total = list(accumulate(measured[item.nodeid]["seconds"] for item in tests))
        tests = tests[: max(1, sum(until <= self.options.seconds for until in total))]
        if not tests or not functions:
            return UNREACHED

        def survives() -> bool:
            for function in functions:
                function.__code__ = mutant.code
            return self.runs(tests)

        cpu = 2 * total[len(tests) - 1] + 2
        status, survived = forked(survives, cpu, 20 * cpu + 60)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGALRM):
            return ENDLESS if os.WTERMSIG(status) == signal.SIGXCPU else WAITING
        return SURVIVED if survived else KILLED


def live_functions(names: dict[str, str]) -> dict[Place, list[FunctionType]]:
    """All functions of some files as they are in memory, those inside of properties and decorators too."""
    found: dict[Place, list[FunctionType]] = {}
    for one in gc.get_objects():
        if isinstance(one, FunctionType) and one.__code__.co_filename in names:
            code = one.__code__
            found.setdefault((names[code.co_filename], code.co_qualname, code.co_firstlineno), []).append(one)
    return found


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def report(results: list[dict[str, Any]]) -> None:
    """Print the mutants that are not killed, and the numbers of each file."""
    for one in results:
        if one["result"] not in (KILLED, ENDLESS):
            print(f"{one['result']}: line {one['line']} of {one['key']}")
    names = [one["key"].partition(":")[0] for one in results]
    for name in [*dict.fromkeys(names), ""]:
        tried = [one["result"] for one in results if one["key"].startswith(name)]
        killed = len([result for result in tried if result in (KILLED, ENDLESS)])
        print(f"| `{name or 'all'}` | {killed} / {len(tried)} | {100 * killed / max(1, len(tried)):.1f} % |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--room", required=True, help="a folder of pipeline_lib, or a file without its ending")
    parser.add_argument("--tests", nargs="*", default=[], help="names of files in tests/; else all that mutmut runs")
    parser.add_argument("--seconds", type=float, default=5, help="of tests for a mutant")
    parser.add_argument("--again", action="store_true", help="try the survivors again")
    options = parser.parse_args()
    selected = MUTMUT["pytest_add_cli_args_test_selection"]
    tests = [f"tests/{name}" for name in options.tests] or selected[:1]
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        plain = ["-q", "--capture=no", "-n", "0", f"--basetemp={folder}/tests", "-p", "no:faulthandler"]
        plain += MUTMUT["pytest_add_cli_args"] + selected[1:]
        pytest.main([*tests, *plain], plugins=[Runner(options, files_of(options.room))])


if __name__ == "__main__":
    main()
