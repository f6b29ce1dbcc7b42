"""Scripts that hand themselves over to a warm process: the same behavior as on their own, without the imports."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from pipeline_lib.jobs import warm

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="jobs start cold elsewhere")

ROOT = Path(__file__).parents[1]
RUN_WARM = "from pipeline_lib.jobs.warm import run_in_warm_process\nrun_in_warm_process()\n"


@pytest.fixture(scope="module")
def warm_environment():
    """What a workflow's jobs find in their environment, and the warm process that it names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(warm.VARIABLE, "")
        warm.start()
        yield dict(os.environ)
    process = warm._started.pop()
    process.stdin.close()
    assert process.wait(30) == 0


def script(folder: Path, body: str) -> Path:
    path = folder / "script.py"
    path.write_text(RUN_WARM + textwrap.dedent(body))
    return path


def run(path: Path, environment: dict, *arguments: str, **more) -> subprocess.CompletedProcess:
    environment = environment | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(path), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, **more)


def begun(path: Path, environment: dict, mark: Path) -> subprocess.Popen:
    """A script that is running: it has written its mark."""
    process = subprocess.Popen([sys.executable, str(path)], env=environment | {"PYTHONPATH": str(ROOT)})
    wait_for(mark.exists)
    return process


def wait_for(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


SHOW = """
    import json, os, sys
    loaded = [name in sys.modules for name in ("torch", "torch._dynamo")]
    print(json.dumps([loaded, sys.argv[1:], os.getcwd(), os.environ["COLOR"], sys.stdin.read(), __name__]))
    print("beside", file=sys.stderr)
    sys.exit(7)
"""


def test_a_script_is_the_same_but_for_what_is_loaded(tmp_path, warm_environment):
    path = script(tmp_path, SHOW)
    cold = {name: value for name, value in warm_environment.items() if name != warm.VARIABLE}
    ends = [
        run(path, environment | {"COLOR": "blue"}, "a b", "c", cwd=tmp_path, input="given")
        for environment in (warm_environment, cold)
    ]
    expected = [["a b", "c"], str(tmp_path), "blue", "given", "__main__"]
    assert [json.loads(end.stdout) for end in ends] == [[[True] * 2, *expected], [[False] * 2, *expected]]
    assert [(end.returncode, end.stderr) for end in ends] == [(7, "beside\n")] * 2


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ("", 0, ""),
        ("raise ValueError('broken')", 1, "ValueError: broken"),
        ("import sys; sys.exit('refused')", 1, ""),
        ("import os; os._exit(3)", 3, ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, ""),
    ],
)
def test_it_ends_as_its_script_did(tmp_path, warm_environment, body, status, told):
    end = run(script(tmp_path, body), warm_environment)
    assert end.returncode == status
    assert told in end.stderr


def test_scripts_run_side_by_side_and_know_nothing_of_each_other(tmp_path, warm_environment):
    body = """
        import sys, time, torch
        from pathlib import Path
        torch.mine = getattr(torch, "mine", 0) + 1
        mark = Path(sys.argv[1])
        mark.touch()
        while len(list(mark.parent.glob("*.mark"))) < 4:
            time.sleep(0.05)
        sys.exit(torch.mine)
    """
    command = [sys.executable, str(script(tmp_path, body))]
    environment = warm_environment | {"PYTHONPATH": str(ROOT)}
    marks = [str(tmp_path / f"{number}.mark") for number in range(4)]
    processes = [subprocess.Popen([*command, mark], env=environment) for mark in marks]
    assert [process.wait(60) for process in processes] == [1] * 4


SLOW_TO_LISTEN = """
import time
from pipeline_lib.jobs import warm
received = warm.exactly
warm.exactly = lambda *given: time.sleep(1) or received(*given)
"""


@pytest.mark.parametrize("before", ["", SLOW_TO_LISTEN])
def test_a_request_to_stop_reaches_the_script(tmp_path, warm_environment, before):
    """Also one that comes before the script's own process knows of the fork that runs it."""
    mark = tmp_path / "mark"
    body = f"""
        import signal, sys, time
        from pathlib import Path
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        Path({str(mark)!r}).touch()
        time.sleep(60)
    """
    path = script(tmp_path, body)
    path.write_text(before + path.read_text())
    process = begun(path, warm_environment, mark)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143


def test_a_killed_script_takes_its_work_along(tmp_path, warm_environment):
    mark = tmp_path / "mark"
    body = f"""
        import os, time
        from pathlib import Path
        Path({str(mark)!r} + ".new").write_text(str(os.getpid()))
        os.rename({str(mark)!r} + ".new", {str(mark)!r})
        time.sleep(60)
    """
    process = begun(script(tmp_path, body), warm_environment, mark)
    worker = int(mark.read_text())
    assert worker != process.pid
    process.kill()
    process.wait()
    wait_for(lambda: not Path(f"/proc/{worker}").exists())


@pytest.mark.parametrize("there", [["/another/python", "/no/socket"], [sys.prefix, "/no/socket"], [None, None]])
def test_without_a_warm_process_of_this_python_it_runs_by_itself(tmp_path, there):
    path = script(tmp_path, "import os; print(os.getppid())")
    end = run(path, dict(os.environ) | {warm.VARIABLE: json.dumps(there)})
    assert (end.returncode, end.stdout) == (0, f"{os.getpid()}\n")


def test_the_warm_process_ends_with_the_one_that_started_it(tmp_path):
    body = f"""
        import os, sys
        sys.path.insert(0, {str(ROOT)!r})
        from pipeline_lib.jobs import warm
        warm.start()
        print(warm._started[0].pid, os.environ[warm.VARIABLE], flush=True)
        os.kill(os.getpid(), 9)
    """
    path = tmp_path / "workflow.py"
    path.write_text(textwrap.dedent(body))
    end = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=60)
    pid, _, there = end.stdout.partition(" ")
    wait_for(lambda: not Path(f"/proc/{pid}").exists())
    assert not Path(json.loads(there)[1]).parent.exists()


def test_folders_of_killed_workflows_are_removed_and_no_others(tmp_path):
    ended = subprocess.Popen(["true"])
    ended.wait()
    left, other, foreign = (tmp_path / name for name in (f"warm-{ended.pid}-a", f"warm-{os.getpid()}-b", "warm-up-c"))
    for folder in (left, other, foreign):
        folder.mkdir()
        (folder / "socket").touch()
    warm.remove_left(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([other, foreign])


OWN_JOB = """
import sys, types
sys.path[:0] = [{root!r}, {folder!r}]
from pipeline_lib.jobs.adapter import job
config = {{"gpu_share": 1, "lock_wait": 60}}
snakemake = types.SimpleNamespace(rule="attack", log=[{log!r}], resources={{}}, config=config)
with job(snakemake):
    import own_file
    own_file.work()
    print("done")
"""
ENDS = {
    "exit with 0": ("import sys; sys.exit(0)", "own_file.py:2 raised SystemExit(0) before the work was done"),
    "exit with text": ("import sys; sys.exit('no data')", "own_file.py:2 raised SystemExit('no data')"),
    "exit()": ("exit()", "own_file.py:2 raised SystemExit(None)"),
    "os._exit": ("import os; os._exit(0)", "own_file.py:2 called os._exit(0) before the work was done"),
}


def run_own(folder: Path, environment: dict, where: str, work: str) -> subprocess.CompletedProcess:
    """A job, in the warm process or by itself, whose work is a user's."""
    (folder / "own_file.py").write_text(f"def work():\n    {work}\n")
    path = folder / "script.py"
    path.write_text(OWN_JOB.format(root=str(ROOT), folder=str(folder), log=str(folder / "job.log")))
    return run(path, environment | ({} if where == "warm" else {warm.VARIABLE: "[null, null]"}))


@pytest.mark.parametrize("where", ["cold", "warm"])
@pytest.mark.parametrize(("line", "message"), ENDS.values(), ids=ENDS)
def test_code_that_ends_the_process_is_named_with_its_line(tmp_path, warm_environment, where, line, message):
    done, log = run_own(tmp_path, warm_environment, where, line), (tmp_path / "job.log").read_text()
    assert (done.returncode, done.stdout) == (1, "")
    assert f"Error in rule attack: {tmp_path}/{message}" in done.stderr
    assert message in log
    assert "own_file.py" in log.partition("rule attack")[0]  # the calls that led there


@pytest.mark.parametrize("where", ["cold", "warm"])
def test_a_job_that_does_its_work_ends_with_0_whatever_its_children_do(tmp_path, warm_environment, where):
    done = run_own(tmp_path, warm_environment, where, "import os; os.fork() or os._exit(0); os.wait()")
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_an_end_that_no_python_sees_is_noticed_by_the_process_that_waits(tmp_path, warm_environment):
    done = run_own(tmp_path, warm_environment, "warm", "import ctypes; ctypes.CDLL(None)._exit(0)")
    assert done.returncode == 1
    assert "something ended the process with status 0 before its work was done" in done.stderr
