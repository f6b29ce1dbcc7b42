"""The generated reference: complete, and true to the classes."""

import importlib.util
import re
from pathlib import Path

import pytest

from pipeline_lib.entries.fields import Field
from pipeline_lib.entries.methods import METHODS, SUMMARIES

FILE = Path(__file__).parents[1] / "docs" / "reference.py"
SPEC = importlib.util.spec_from_file_location("reference", FILE)
reference = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(reference)


@pytest.fixture(scope="module")
def pages():
    return reference.pages()


def test_every_method_and_summary_has_an_entry(pages):
    text = "\n".join(pages.values())
    assert [name for name in METHODS if f"### `{name}`" not in text] == []
    assert [name for name in SUMMARIES if f"| `{name}` |" not in text] == []


def test_users_meet_every_method_in_the_guide_or_a_configuration():
    """The generated pages list all; here: one of the pages that are written by hand, or a configuration."""
    root = FILE.parents[1]
    guide = "\n".join(path.read_text() for path in (root / "docs").rglob("*.md"))
    configurations = "\n".join(path.read_text() for path in (root / "config").glob("*.yaml"))
    given = re.findall(r"method: ([a-z]\w+)", guide + configurations)
    assert sorted(set(METHODS) - set(re.findall(r"`([a-z]\w+)`", guide)) - set(given)) == []


@pytest.mark.parametrize("name", METHODS)
def test_each_field_is_explained_in_a_docstring(name):
    known = reference.fields(METHODS[name])
    texts = [part.text for part in reference.documented_bases(METHODS[name])]
    assert set(reference.meanings_of(texts, known)) == set(known)


def test_an_entry_states_type_range_default_and_meaning_of_each_field(pages):
    assert "| `steps` | int, at least 1 | required | T of the papers" in pages["attacks.md"]
    assert "| `per` | `frame` or `video` | `frame` | a position for each `frame`" in pages["attacks.md"]


def test_meanings_are_the_clauses_after_the_names_of_fields():
    known = dict.fromkeys(("width", "height", "per"), Field("int", True, None, ""))
    text = "A box of a width: wide. width, height: sides in pixels; per: frame or video.\n\nAnother paragraph."
    found = reference.meanings_of([text], known)
    assert found == {"width": "sides in pixels", "height": "sides in pixels", "per": "frame or video"}


@pytest.mark.parametrize(
    ("annotation", "words"),
    [("Count", "int, at least 1"), ("float | None", "`float` or none"), ("Literal['a', 'b']", "`a` or `b`")],
)
def test_types_in_words(annotation, words):
    assert reference.kind(annotation) == words
