"""Files of the user count by their content, and each is read once for all plans of some results."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from pipeline_lib.provenance import content_digests
from pipeline_lib.provenance.content_digests import ContentDigests, store_in


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """The names of the files that are read."""
    names, whole = [], content_digests.file_digest

    def noted(path: Path) -> str:
        names.append(path.name)
        return whole(path)

    monkeypatch.setattr(content_digests, "file_digest", noted)
    return names


@pytest.fixture
def videos(tmp_path) -> list[Path]:
    paths = [tmp_path / name for name in ("a.avi", "b.avi")]
    for path in paths:
        path.write_text(path.name)
    return paths


def states(paths: list[Path]) -> dict[str, os.stat_result]:
    return {str(path): path.stat() for path in paths}


def process(results: Path) -> ContentDigests:
    """As a new process that plans for some results."""
    digests = ContentDigests()
    digests.keep_in(store_in(results))
    return digests


def test_a_file_is_read_once_for_all_plans_of_some_results(tmp_path, videos, read):
    (results := tmp_path / "results").mkdir()
    expected = {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in videos}
    assert process(results).of(states(videos)) == expected
    assert process(results).of(states(videos)) == expected
    assert sorted(read) == ["a.avi", "b.avi"]
    assert [path.name for path in results.rglob("*")] == [".runs", "contents.json"]


@pytest.mark.parametrize("change", ["size", "time"])
def test_a_file_of_another_size_or_time_is_read_again(tmp_path, videos, read, change):
    (results := tmp_path / "results").mkdir()
    process(results).of(states(videos))
    read.clear()
    found = videos[0].stat()
    videos[0].write_text("a longer one" if change == "size" else "b.avi")
    os.utime(videos[0], ns=(1, found.st_mtime_ns if change == "size" else 1))
    first, second = process(results).of(states(videos)).values()
    assert read == ["a.avi"]
    assert (first == second) == (change == "time")


def test_before_there_are_results_nothing_is_written_until_the_run_begins(tmp_path, videos):
    results = tmp_path / "results"
    digests = process(results)
    digests.of(states(videos))
    assert not results.exists()
    results.mkdir()
    digests.save()
    assert set(json.loads(store_in(results).read_text())) == {str(path) for path in videos}


def test_processes_that_save_one_after_the_other_keep_what_both_have_read(tmp_path, videos):
    (results := tmp_path / "results").mkdir()
    one, other = process(results), process(results)
    one.of(states(videos[:1]))
    other.of(states(videos[1:]))
    assert process(results).known.keys() == {str(path) for path in videos}


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', '{"a": ["x", 1, "y"]}'])
def test_a_damaged_file_keeps_nothing(tmp_path, videos, read, text):
    store_in(tmp_path).parent.mkdir()
    store_in(tmp_path).write_text(text)
    process(tmp_path).of(states(videos))
    assert sorted(read) == ["a.avi", "b.avi"]
    assert process(tmp_path).known.keys() == {str(path) for path in videos}


def test_a_file_that_cannot_be_read_has_no_digest_and_is_tried_again(tmp_path, videos):
    found = states(videos)
    videos[0].rename(tmp_path / "aside")
    digests = ContentDigests()
    assert digests.of(found)[str(videos[0])] is None
    (tmp_path / "aside").rename(videos[0])
    assert digests.of(found)[str(videos[0])] is not None


def test_results_that_cannot_be_written_are_planned_too(tmp_path, videos):
    (results := tmp_path / "results").mkdir()
    (results / ".runs").write_text("no folder")
    assert None not in process(results).of(states(videos)).values()


def test_a_plan_that_reads_much_says_so(videos, monkeypatch, caplog):
    monkeypatch.setattr(content_digests, "SHOWN_BYTES", 9)
    with caplog.at_level("INFO", logger=content_digests.SNAKEMAKE.name):
        ContentDigests().of(states(videos[:1]))
        assert caplog.text == ""
        ContentDigests().of(states(videos))
    assert "2 given files (0.0 GB) are read once: they count by their content" in caplog.text
