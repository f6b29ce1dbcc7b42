"""SIGINT to the process of Snakemake alone: its scripts are asked to stop, other children are not."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline_lib.jobs.interruption import stop_jobs_when_interrupted

ROOT = Path(__file__).parents[1]
WORKFLOW = """
import signal, subprocess, sys, time
from pipeline_lib.jobs.interruption import stop_jobs_when_interrupted
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background of a shell
others = [subprocess.Popen([sys.executable, path]) for path in sys.argv[1:]]
stop_jobs_when_interrupted()
try:
    time.sleep(60)
except KeyboardInterrupt:
    job, other = others
    print(job.wait(), other.poll(), flush=True)
    other.kill()
"""
JOB = """
import signal, sys, time
from pathlib import Path
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
Path(__file__).with_suffix(".begun").touch()
time.sleep(60)
"""


def test_scripts_of_snakemake_are_asked_to_stop_and_nothing_else(tmp_path):
    jobs = [tmp_path / ".snakemake/scripts/job.py", tmp_path / "other.py"]
    for job in jobs:
        job.parent.mkdir(parents=True, exist_ok=True)
        job.write_text(JOB)
    command, environment = [sys.executable, "-c", WORKFLOW, *map(str, jobs)], os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not all(job.with_suffix(".begun").exists() for job in jobs):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[0] == "143 None\n"


def test_the_handler_is_there_once_and_not_where_signals_are_ignored_or_in_a_thread():
    started_with, before = signal.getsignal(signal.SIGINT), signal.default_int_handler
    signal.signal(signal.SIGINT, before)  # ignored where the tests run in the background of a shell
    try:
        thread = threading.Thread(target=stop_jobs_when_interrupted)
        thread.start()
        thread.join()
        assert signal.getsignal(signal.SIGINT) is before
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        stop_jobs_when_interrupted()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        signal.signal(signal.SIGINT, before)
        stop_jobs_when_interrupted()
        once = signal.getsignal(signal.SIGINT)
        stop_jobs_when_interrupted()
        assert signal.getsignal(signal.SIGINT) is once is not before
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
    finally:
        signal.signal(signal.SIGINT, started_with)
