"""The reference of all methods, as Markdown: one page per room, made from the source texts of the classes.

mkdocs runs this file (plugin gen-files). Nothing is imported from the classes' modules, so torch is not needed.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from pipeline_lib.entries.classes import class_of, definitions
from pipeline_lib.entries.fields import Field, fields
from pipeline_lib.entries.methods import METHODS, SUMMARIES
from pipeline_lib.entries.ranges import RANGES
from pipeline_lib.provenance.module_files import source_file

# Room of the package -> title of its page.
PAGES = {
    "clips": "Data sets and clips",
    "networks": "Networks",
    "attacks": "Attacks",
    "transforms": "Transforms of the input",
    "defenses": "Defenses",
    "training": "Optimizers and schedules",
    "reporting": "Figures",
}
SCALAR = re.compile(r"[^\[\]|, ]+")


class Documented(NamedTuple):
    """A class or module with its docstring, the lines of a paragraph joined."""

    name: str
    text: str


def pages() -> dict[str, str]:
    """File name -> Markdown of every page of the reference."""
    made = {f"{room}.md": page(room, title) for room, title in PAGES.items() if any(methods_of(room))}
    return made | {"summaries.md": summaries_page()}


def methods_of(room: str) -> Iterator[tuple[str, str]]:
    """Short name and `module:Class` of the methods of a room, in the order of their table."""
    return ((name, target) for name, target in METHODS.items() if target.startswith(f"pipeline_lib.{room}."))


def page(room: str, title: str) -> str:
    """One page: the methods of a room, by module."""
    modules: dict[str, list[tuple[str, str]]] = {}
    for name, target in methods_of(room):
        modules.setdefault(target.partition(":")[0], []).append((name, target))
    sections = (section(module, listed) for module, listed in modules.items())
    return f"# {title}\n\n" + "\n\n".join(sections) + "\n"


def section(module: str, listed: list[tuple[str, str]]) -> str:
    """The methods of one module, below the first sentence of its docstring."""
    about = docstrings(source_file(module))[""].text
    entries = "\n\n".join(entry(name, target) for name, target in listed)
    return f"## {first_sentence(about)}\n\nModule `{module}`.\n\n{entries}"


def first_sentence(text: str) -> str:
    return re.split(r"(?<=[a-z)])[.:;] ", text.split("\n\n")[0])[0].rstrip(".")


def entry(name: str, target: str) -> str:
    """One method: what it is, and its fields."""
    texts = [part.text for part in documented_bases(target)]
    known, meanings = fields(target), meanings_of(texts, fields(target))
    heading = f"### `{name}`\n\n`{target}`\n\n{texts[0]}"
    return f"{heading}\n\n{table(known, meanings)}" if known else heading


def documented_bases(target: str) -> list[Documented]:
    """The class and its bases whose sources are read, in method resolution order."""
    return [docstrings(one.path)[one.name] for one in definitions(class_of(target))]


@cache
def docstrings(path: Path) -> Mapping[str, Documented]:
    """Name -> docstring of each class and function of a module; the module's own under the empty name."""
    tree = ast.parse(path.read_text())
    found = {"": ast.get_docstring(tree)}
    kinds = ast.ClassDef | ast.FunctionDef
    found |= {node.name: ast.get_docstring(node) for node in tree.body if isinstance(node, kinds)}
    return {name: Documented(name, joined(text or "")) for name, text in found.items()}


def joined(text: str) -> str:
    """A docstring with one line per paragraph. Line breaks before `name: ` stay paragraphs of their own."""
    lines = re.sub(r"\n(?=[\w, ]+: )", "\n\n", text)
    return "\n\n".join(" ".join(part.split()) for part in lines.split("\n\n"))


def meanings_of(texts: list[str], known: Mapping[str, Field]) -> dict[str, str]:
    """Field -> what the docstrings of its class or bases state about it, as `name: text` or `name, other: text`."""
    if not known:
        return {}
    one = "|".join(known)
    listed = re.compile(rf"(?:^|(?<=[;.)] ))((?:{one})(?:(?:, | and )(?:{one}))*): ", re.MULTILINE)
    found: dict[str, str] = {}
    for text in texts:
        marks = [*listed.finditer(text)]
        for mark, after in zip_longest(marks, marks[1:]):
            meaning = text[mark.end() : after.start() if after else None].split("\n\n")[0].strip().rstrip(";.")
            for name in re.split(r", | and ", mark[1]):
                found.setdefault(name, meaning)
    return found


def table(known: Mapping[str, Field], meanings: Mapping[str, str]) -> str:
    rows = [
        f"| `{name}` | {kind(field.annotation)} | {default(field)} | {meanings.get(name, '')} |"
        for name, field in known.items()
    ]
    return "\n".join(["| key | type | default | meaning |", "|---|---|---|---|", *rows])


def kind(annotation: str) -> str:
    """An annotation in words: ranges as conditions, classes as methods."""
    if annotation in RANGES:
        base, limits = RANGES[annotation]
        return f"{base}, {limits.words}"
    if annotation.startswith("Literal["):
        return " or ".join(f"`{value}`" for value in ast.literal_eval(f"({annotation[8:-1]},)"))
    parts = annotation.split(" | ")
    if len(parts) > 1:
        return " or ".join("none" if part == "None" else kind(part) for part in parts)
    return f"`{annotation.rpartition('.')[2] if '[' not in annotation else annotation}`"


def default(field: Field) -> str:
    if field.required:
        return "required"
    return "of its class" if field.default is None and "None" not in field.annotation else f"`{plain(field.default)}`"


def plain(value: Any) -> str:
    """A default as YAML writes it."""
    words = {None: "none", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


def summaries_page() -> str:
    """The summaries of a table's columns."""
    rows = []
    for name, target in SUMMARIES.items():
        module, _, function = target.partition(":")
        rows.append(f"| `{name}` | {docstrings(source_file(module))[function].text.split(chr(10))[0]} |")
    return "\n".join(["# Summaries of a table's columns", "", "| name | meaning |", "|---|---|", *rows, ""])


if __name__ == "<run_path>":  # mkdocs-gen-files
    import mkdocs_gen_files

    for file_name, content in pages().items():
        with mkdocs_gen_files.open(f"reference/{file_name}", "w") as file:
            file.write(content)
