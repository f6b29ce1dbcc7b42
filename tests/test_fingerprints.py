"""Fingerprints: every change that can alter a result changes them, and no other."""

from pathlib import Path

import pytest

from pipeline_lib.provenance import sources
from pipeline_lib.provenance.fingerprints import (
    CALLED_BY_JOBS,
    _closure,
    canonical,
    digest,
    file_digest,
    fingerprint,
)
from pipeline_lib.provenance.module_files import source_file
from pipeline_lib.provenance.sources import read_source
from planning import CACHES, ROOT

PGD = {"method": "pipeline_lib.attacks.ascent:Ascent", "perturbation": {"method": "mine:Perturbation"}}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of three modules, one of them imported by the adapter, one by a method."""
    monkeypatch.chdir(tmp_path)
    for folder in ("pipeline_lib", "pipeline_lib/attacks", "pipeline_lib/jobs"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
    (tmp_path / "pipeline_lib/attacks/ascent.py").write_text(
        "from pipeline_lib.attacks import steps\nclass Ascent: ...\n"
    )
    (tmp_path / "pipeline_lib/attacks/steps.py").write_text('"""Doc."""\n\ndef step(x):\n    return x + 1  # one\n')
    (tmp_path / "pipeline_lib/unused.py").write_text("x = 1\n")
    (tmp_path / "pipeline_lib/jobs/logs.py").write_text("x = 1\n")
    (tmp_path / "mine.py").write_text("import colorsys\nimport my_helper\nclass Perturbation: ...\n")
    (tmp_path / "my_helper.py").write_text("from my_tools.noise import level\nx = 1\n")
    (tmp_path / "my_tools").mkdir()
    (tmp_path / "my_tools/__init__.py").write_text("x = 1\n")
    (tmp_path / "my_tools/noise.py").write_text("def level(x):\n    return x + 1\n")
    (tmp_path / "colorsys.py").write_text("x = 1\n")
    (tmp_path / "adapter.py").write_text("import pipeline_lib.jobs.logs\n")
    yield tmp_path
    forget()  # what was found here would be another test's pipeline_lib


def forget() -> None:
    for cache in CACHES:
        cache.cache_clear()


def code(folder: Path) -> str:
    forget()
    return fingerprint(folder / "adapter.py", PGD)


CHANGES = {
    "method's own module": ("pipeline_lib/attacks/ascent.py", "class Ascent: ...", "class Ascent:\n    x = 1"),
    "module that the method imports": ("pipeline_lib/attacks/steps.py", "x + 1", "x + 2"),
    "nested method of the user's": ("mine.py", "class Perturbation: ...", "class Perturbation:\n    x = 1"),
    "helper of the user's module": ("my_helper.py", "x = 1", "x = 2"),
    "module of a package of the user's": ("my_tools/noise.py", "x + 1", "x + 2"),
    "package of the user's": ("my_tools/__init__.py", "x = 1", "x = 2"),
    "adapter": ("adapter.py", "import pipeline_lib.jobs.logs", "import pipeline_lib.unused"),
}
NO_CHANGES = {
    "comment": ("pipeline_lib/attacks/steps.py", "# one", "# another"),
    "docstring": ("pipeline_lib/attacks/steps.py", "Doc.", "Other."),
    "formatting": ("pipeline_lib/attacks/steps.py", "x + 1", "(x  +  1)"),
    "module that nobody imports": ("pipeline_lib/unused.py", "x = 1", "x = 2"),
    "logging": ("pipeline_lib/jobs/logs.py", "x = 1", "x = 2"),
    "name of the standard library's": ("colorsys.py", "x = 1", "x = 2"),
}


@pytest.mark.parametrize(("name", "old", "new"), CHANGES.values(), ids=CHANGES)
def test_behavior_changes_the_fingerprint(package, name, old, new):
    before = code(package)
    (package / name).write_text((package / name).read_text().replace(old, new))
    assert code(package) != before


@pytest.mark.parametrize(("name", "old", "new"), NO_CHANGES.values(), ids=NO_CHANGES)
def test_appearance_does_not(package, name, old, new):
    before = code(package)
    (package / name).write_text((package / name).read_text().replace(old, new))
    assert code(package) == before


def test_canonical_text_ignores_the_order_of_keys():
    assert canonical({"b": [1, 2], "a": {"d": 1, "c": 2}}) == canonical({"a": {"c": 2, "d": 1}, "b": [1, 2]})
    assert canonical([1, 2]) != canonical([2, 1])


def test_digest_keeps_parts_apart():
    assert digest("ab", "c") != digest("a", "bc")


def test_file_digest_is_sha256(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert file_digest(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_file_is_parsed_again_when_its_text_is_another(package, monkeypatch):
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    path = package / "mine.py"
    first = sources.read_source(path)
    stored = sources._store(path)
    assert stored.is_file()
    forget()
    monkeypatch.setattr(sources, "_parsed", None)  # what is remembered needs no parsing
    assert sources.read_source(path) == first
    monkeypatch.undo()
    path.write_text("class Perturbation:\n    epsilon: float\n    note: str = ''\n")
    forget()
    annotated = sources.read_source(path).classes["Perturbation"].annotated
    assert annotated == {"epsilon": ("float", "field", True, None, ""), "note": ("str", "field", False, "", "")}


def test_what_was_read_is_kept_where_python_keeps_its_compiled_files(package, monkeypatch):
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    monkeypatch.setattr("sys.pycache_prefix", str(package / "compiled/elsewhere"))
    sources.read_source(package / "mine.py")
    assert [path.name for path in (package / "compiled").rglob("*.json")] == [sources._store(Path("mine.py")).name]
    assert not (package / "__pycache__").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": 1}', "null"])
def test_a_damaged_memory_is_no_memory(package, text, monkeypatch):
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    path = package / "mine.py"
    first = sources.read_source(path)
    sources._store(path).write_text(text)
    forget()
    assert sources.read_source(path) == first


def test_a_folder_that_cannot_be_written_is_read_all_the_same(package, monkeypatch):
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    (package / "__pycache__").touch()  # a file where the folder would be
    assert list(sources.read_source(package / "mine.py").classes) == ["Perturbation"]


# What jobs import of the rooms that do not count: constants, and what figures name their files with while planning.
PLANNING = {
    "Cell",
    "File",
    "FigurePlan",
    "Sweep",
    "positions",
    "written_row",
    "sets_of_sources",
    "sets_on_target",
    "trained",
}


def test_functions_of_the_configuration_that_jobs_call_count():
    """A table must be made again if its job would read its layout otherwise."""
    reporting = ROOT / "pipeline_lib/reporting"
    scripts = [reporting / f"{name}.py" for name in ("cells", "claims", "tables", "differences", "facts", "front")]
    files = {file for path in (*scripts, *(reporting / "figures").glob("*.py")) for file in closure_of(path)}
    assert len(files) > 40
    for file in files:
        for module, names in read_source(file).imports:
            room, _, name = module.removeprefix("pipeline_lib.").partition(".")
            called = {one for one in names if not one.isupper()} - PLANNING
            if room == "configuration" and called and room_of(file) != "configuration":
                assert module in CALLED_BY_JOBS, f"{file}: {name}: {called}"
    assert source_file("pipeline_lib.configuration.layout_keys") in files


def closure_of(path: Path) -> frozenset[Path]:
    """The files that the fingerprint of a job with this module covers."""
    return _closure(".".join(path.relative_to(ROOT).with_suffix("").parts))


def room_of(file: Path) -> str:
    return file.relative_to(ROOT).parts[1]
