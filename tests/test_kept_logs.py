"""A job's log begins with what earlier runs of the same work wrote."""

from pathlib import Path

import pytest

from pipeline_lib.jobs.kept_logs import kept_log, logging_after_earlier_runs
from pipeline_lib.jobs.logs import LOGGER


def run(folder: Path, identity: str, *messages: str) -> list[str]:
    """The messages in the log of a job, after one more run that Snakemake begins without a log."""
    log = folder / "logs/train.log"
    log.unlink(missing_ok=True)
    with logging_after_earlier_runs(log, kept_log(folder, {"identity": identity})):
        for message in messages:
            LOGGER.info(message)
    return [line.partition(" INFO ")[2] for line in log.read_text().splitlines()]


def test_attempts_stay_and_another_configuration_has_its_own(tmp_path):
    assert run(tmp_path, "a", "epoch 1", "killed") == ["epoch 1", "killed"]
    assert run(tmp_path, "a", "epoch 2") == ["epoch 1", "killed", "epoch 2"]
    assert run(tmp_path, "b", "other") == ["other"]
    assert run(tmp_path, "a", "kept") == ["epoch 1", "killed", "epoch 2", "kept"]


def test_an_error_stays_in_the_log_of_the_next_attempt(tmp_path):
    log, kept = tmp_path / "job.log", tmp_path / "kept.log"
    with pytest.raises(ValueError, match="broken"), logging_after_earlier_runs(log, kept):
        LOGGER.error("it fails")
        raise ValueError("broken")
    with logging_after_earlier_runs(log, kept):
        LOGGER.info("it works")
    assert [line.split(" ", 3)[3] for line in log.read_text().splitlines()] == ["it fails", "it works"]
    assert log.read_text() == kept.read_text()


def test_a_folder_that_cannot_keep_logs_stops_no_job(tmp_path):
    (tmp_path / ".runs").write_text("a file")
    assert run(tmp_path, "a", "works") == ["works"]


def test_a_job_without_an_identity_has_a_log_of_its_own(tmp_path):
    log = tmp_path / "job.log"
    with logging_after_earlier_runs(log, None):
        LOGGER.info("once")
    assert log.read_text().endswith("INFO once\n")
    assert [path.name for path in tmp_path.iterdir()] == ["job.log"]
