"""Records of results: one that is damaged counts as none, and a job does not read what its record does not describe."""

import json
import re
from pathlib import Path

import pytest

from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.recording import recorded, write_record
from pipeline_lib.provenance.records import read_record
from stores import flip


def identity(name: str, inputs: list[str]) -> dict:
    files = [{"path": one, "record": f"identities/{one}.json", "output": "file", "identity": one} for one in inputs]
    made_of = {"settings": {"epsilon": 8 / 255, "name": "ä"}, "code": "c", "sources": {}, "inputs": {"files": files}}
    outputs = {"file": name}
    return made_of | {"identity": name, "rule": "r", "record": f"identities/{name}.json", "outputs": outputs}


def make(results: Path, name: str, *inputs: str) -> Path:
    with recorded(identity(name, list(inputs)), results):
        (results / name).write_text(name)
    return results / f"identities/{name}.json"


def test_a_record_is_read_as_it_was_written(tmp_path):
    record = {"format": 1, "made_of": {"settings": {"b": [0.1, None], "a": float("inf"), "8": True}}}
    write_record(tmp_path / "r.json", record)
    assert read_record(tmp_path / "r.json") == record


def test_a_record_with_any_flipped_bit_counts_as_none(tmp_path):
    """No bit of it is without meaning: spaces and line ends become other characters."""
    path = make(tmp_path, "a")
    for offset in range(path.stat().st_size):
        flip(path, offset, offset % 8)
        assert read_record(path) is None, f"byte {offset}"
        flip(path, offset, offset % 8)
    assert read_record(path)["identity"] == "a"


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000, '{"sha256": 1}'])
def test_what_is_no_record_counts_as_none(tmp_path, text):
    (tmp_path / "r.json").write_text(text)
    assert read_record(tmp_path / "r.json") is None


@pytest.mark.parametrize("damage", ["flipped", "removed"])
def test_a_job_refuses_an_input_that_is_not_what_its_record_describes(tmp_path, damage):
    make(tmp_path, "a")
    mine = make(tmp_path, "b", "a")
    before = mine.read_bytes()
    flip(tmp_path / "a", 0) if damage == "flipped" else (tmp_path / "a").unlink()
    expected = f"{tmp_path}/a is not the file that {tmp_path}/identities/a.json describes"
    with pytest.raises(PipelineError, match=f"^{re.escape(expected)}.*Run again"):
        make(tmp_path, "b", "a")
    assert mine.read_bytes() == before  # nothing was made, so nothing changes


def test_an_input_without_a_record_is_used(tmp_path):
    """As with `--touch`, or files that another tool made; the plan makes them again, or the user wants them."""
    (tmp_path / "a").write_text("a")
    assert json.loads(make(tmp_path, "b", "a").read_text())["made_of"]["inputs"]["files"][0]["bytes"] is None
