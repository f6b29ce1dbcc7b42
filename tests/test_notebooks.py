"""Notebooks of the documentation: their code gives what they show, and they become pages."""

import contextlib
import io
import json
from pathlib import Path

import pytest
import torch

from readme import ROOT
from test_documentation import page_maker

NOTEBOOKS = page_maker("notebooks")
FILES = NOTEBOOKS.notebooks()


def test_a_notebook_is_a_page_of_text_code_and_output():
    output = {"output_type": "stream", "name": "stdout", "text": ["1\n", "2\n"]}
    value = {"output_type": "execute_result", "data": {"text/plain": ["3"]}}
    cells = [
        {"cell_type": "markdown", "source": ["# Title"]},
        {"cell_type": "code", "source": ["print(1)\n", "3"], "outputs": [output, value]},
        {"cell_type": "code", "source": ["x = 1"], "outputs": []},
    ]
    link = "[The notebook](n.ipynb), executed."
    expected = f"# Title\n\n{link}\n\n```python\nprint(1)\n3\n```\n\n```text\n1\n2\n3\n```\n\n```python\nx = 1\n```\n"
    assert NOTEBOOKS.page({"cells": cells}, "n.ipynb") == expected


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_notebook_is_executed_without_an_error_and_in_the_menu(path: Path):
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == [*range(1, len(cells) + 1)]
    assert not any(one["output_type"] == "error" for cell in cells for one in cell["outputs"])
    assert path.stat().st_size < 50_000
    assert f"- {path.relative_to(ROOT / 'docs').with_suffix('.md')}" in (ROOT / "mkdocs.yml").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_code_of_a_notebook_prints_what_it_shows(path: Path):
    names: dict[str, object] = {"__name__": "notebook"}
    with torch.random.fork_rng():
        for cell in json.loads(path.read_text())["cells"]:
            if cell["cell_type"] == "code":
                with contextlib.redirect_stdout(io.StringIO()) as printed:
                    exec("".join(cell["source"]), names)
                streams = ["".join(one["text"]) for one in cell["outputs"] if one["output_type"] == "stream"]
                assert printed.getvalue() == "".join(streams)
