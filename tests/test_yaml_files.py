"""What YAML and Snakemake pass over or read as something else is refused by file, line and path."""

from pathlib import Path

import pytest
import yaml

from pipeline_lib.configuration.yaml_files import check_nulls, read_file, with_home, with_types
from pipeline_lib.errors import PipelineError

ROOT = Path(__file__).parents[1]


def refused(tmp_path: Path, content: bytes, message: str, name: str = "own.yaml") -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(PipelineError, match=rf"^{path}{message}"):
        read_file(path)


@pytest.mark.parametrize("path", sorted(ROOT.glob("config/*.yaml")), ids=lambda path: path.stem)
def test_the_projects_own_files_are_read_as_yaml_reads_them(path):
    assert read_file(path) == yaml.safe_load(path.read_text())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a:\n  x: 1\n  y: 2\n  x: 3\n", ", lines 2 and 4: a.x occurs twice"),
        (b"attacks: {}\nnote: x\nattacks: {}\n", ", lines 1 and 3: attacks occurs twice"),
        (b"a: &x {b: 1, b: 2}\nc: *x\n", ", lines 1 and 1: a.b occurs twice"),
        (b"rows:\n  No: a\n", ", line 2: rows.No: YAML reads this key as bool, not as text: quote it"),
        (b"attacks:\n- {on: 1}\n", ", line 2: attacks.0.on: YAML reads this key as bool"),
        (b"columns: {8: pgd}\n", ", line 1: columns.8: YAML reads this key as int"),
        (b"columns: {1.5: pgd}\n", ", line 1: columns.1.5: YAML reads this key as float"),
        (b"columns: {~: pgd}\n", ", line 1: columns.~: YAML reads this key as null"),
        (b"a:\n  b: &x\n  - c: *x\n", ", line 2: a.b.0.c contains itself"),
        (b"# \xc3\xa9\nnote: caf\xe9\n", ", line 2: not UTF-8"),
    ],
)
def test_what_would_be_passed_over_is_refused_by_line_and_path(tmp_path, content, message):
    refused(tmp_path, content, message)


def test_a_json_file_with_a_key_twice(tmp_path):
    refused(tmp_path, b'{"attacks": {"pgd": {"steps": 3}, "pgd": {}}}', ": the key 'pgd' occurs twice", "own.json")


def test_quoted_keys_merges_and_shared_anchors_are_fine(tmp_path):
    """An anchor in an anchor in an anchor is as large as it is written."""
    nested = "\n".join(f"a{number + 1}: &a{number + 1} [*a{number}, *a{number}]" for number in range(40))
    (tmp_path / "own.yaml").write_text(f"x: &x {{'No': 1, '8': 2}}\ny: {{<<: *x, 'No': 3}}\na0: &a0 [1]\n{nested}\n")
    content = read_file(tmp_path / "own.yaml")
    assert content["y"] == {"No": 3, "8": 2}


@pytest.mark.parametrize("content", [b"- a\n", b"text\n", b"[]"])
def test_a_file_without_keys_is_refused(tmp_path, content):
    refused(tmp_path, content, ": expected keys and values, found (list|str)")


def test_an_empty_file_is_empty(tmp_path):
    (tmp_path / "own.yaml").write_text("# nothing\n")
    assert read_file(tmp_path / "own.yaml") == {}


def test_a_null_takes_away_only_what_a_file_has():
    """Those of the lowest file remove nothing: it may be the effective configuration of a run, with its nulls."""
    layers = [{"attacks": {"pgd": {"steps": 1}, "roa": None}, "figures": {"radius": {"method": "sweep"}}}]
    nulls = {"attacks": {"pgd": None, "roa": None}, "figures": {"radius": None}}
    check_nulls(nulls, [*layers, nulls])
    with pytest.raises(PipelineError, match=r"config: attacks\.pdg: unknown name: null removes an entry; known: pgd"):
        check_nulls({"attacks": {"pdg": None}}, layers)
    with pytest.raises(PipelineError, match=r"figures\.radios: unknown name: .* known: radius"):
        check_nulls({"figures": {"radios": None}}, layers)


def test_what_the_command_line_gives_inside_braces_has_the_types_of_a_file():
    """As Snakemake passes it on: text inside, and already merged."""
    given = {"evaluation": {"batch_size": "8"}, "studies": {"multav": "null"}, "seeds": ["0", "1"], "note": "8"}
    config = given | {"evaluation": {"batch_size": "8", "seed": 0}, "attacks": {"pgd": {"note": "7"}}}
    typed = {"evaluation": {"batch_size": 8, "seed": 0}, "studies": {"multav": None}, "seeds": [0, 1], "note": "8"}
    assert with_types(config, given) == typed | {"attacks": {"pgd": {"note": "7"}}}
    texts = {"a": {"b": ["x: y", "[1]", "{", "1e-3", "yes", "4/255", ""]}}
    assert with_types(texts, texts) == {"a": {"b": ["x: y", "[1]", "{", "1e-3", True, "4/255", ""]}}


def test_a_home_folder_is_expanded_in_paths_alone(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    config = {
        "results": "~/results",
        "note": "~/note",
        "datasets": {"a": {"root": "~/data", "note": "~"}, "b": {"root": None}, "c": None},
        "models": {"m": {"initial": {"file": "~/w.pth"}, "selector_initial": {"file": "~/s"}}, "n": {"initial": "m"}},
    }
    assert with_home(config) == {
        "results": "/home/ada/results",
        "note": "~/note",
        "datasets": {"a": {"root": "/home/ada/data", "note": "~"}, "b": {"root": None}, "c": None},
        "models": {
            "m": {"initial": {"file": "/home/ada/w.pth"}, "selector_initial": {"file": "/home/ada/s"}},
            "n": {"initial": "m"},
        },
    }
    with pytest.raises(PipelineError, match=r"config: ~nobody_here/x: .* give the whole path"):
        with_home({"results": "~nobody_here/x"})
