"""The notebooks of docs/ as pages: text, code and what it printed. Run by `mkdocs build`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def page(notebook: dict[str, Any], name: str) -> str:
    """Return a notebook as Markdown, with a link to its file. Outputs that are not text are left out."""
    parts = [part for cell in notebook["cells"] for part in parts_of(cell)]
    title, *rest = parts
    return "\n\n".join([title, f"[The notebook]({name}), executed.", *rest]) + "\n"


def parts_of(cell: dict[str, Any]) -> Iterator[str]:
    """Return the Markdown of a cell: its text, or its code and a block of its output."""
    text = "".join(cell["source"])
    yield text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```"
    if printed := output_of(cell):
        yield f"```text\n{printed}\n```"


def output_of(cell: dict[str, Any]) -> str:
    """Return what a cell printed, and the value of its last line."""
    outputs = cell.get("outputs", [])
    texts = ["".join(one.get("text", one.get("data", {}).get("text/plain", ""))) for one in outputs]
    return "".join(texts).rstrip()


def notebooks() -> list[Path]:
    return sorted((ROOT / "docs").rglob("*.ipynb"))


if __name__ == "<run_path>":
    import mkdocs_gen_files

    for path in notebooks():
        with mkdocs_gen_files.open(str(path.relative_to(ROOT / "docs").with_suffix(".md")), "w") as file:
            file.write(page(json.loads(path.read_text()), path.name))
