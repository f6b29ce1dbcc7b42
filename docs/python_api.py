"""The reference of the functions and classes for use from Python, as one page made from their source texts."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Heading -> where it is imported from -> module with its source, and its names.
SECTIONS = {
    "Clips of files": {"pipeline_lib.clips": ("clips/reading.py", ["read_clip"])},
    "Attacks": {"pipeline_lib.attacks": ("attacks/crafting.py", ["craft"])},
    "Is a model robust?": {
        "pipeline_lib.check": ("check/evaluating.py", ["evaluate"]),
        "pipeline_lib.check ": ("check/options.py", ["Options"]),
        "pipeline_lib.check  ": ("check/threats.py", ["Threat"]),
        "pipeline_lib.records.checks": ("records/checks.py", ["Check"]),
    },
    "For attacks of your own": {
        "pipeline_lib.attacks.losses": ("attacks/losses.py", ["loss_and_gradient"]),
        "pipeline_lib.attacks.perturbations": ("attacks/perturbations.py", ["nearest_level"]),
        "pipeline_lib.randomness.draws": ("randomness/draws.py", ["drawing"]),
    },
    "Files of a run": {
        "pipeline_lib.clips.store": ("clips/store.py", ["Clips"]),
        "pipeline_lib.clips.adversarial_store": ("clips/adversarial_store.py", ["AdversarialClips"]),
        "pipeline_lib.reporting.metrics": (
            "reporting/metrics.py",
            ["read_predictions", "percentage", "estimate", "fraction_of_clips", "Estimate"],
        ),
    },
}
INTRODUCTION = """# Python

Made from the source. The attacks with their fields, which are the arguments of the classes, too: [attacks](attacks.md).
Importing a package loads torch only when a function needs it. Examples:
[is this model robust?](../tutorials/robust.md#in-python)
"""
Definition = ast.FunctionDef | ast.ClassDef


def page() -> str:
    """The page, by sections."""
    parts = [INTRODUCTION]
    for heading, modules in SECTIONS.items():
        parts.append(f"## {heading}\n")
        for place, (file, names) in modules.items():
            known = definitions(ROOT / "pipeline_lib" / file)
            parts += [entry(place.strip(), known[name]) for name in names]
    return "\n".join(parts)


def definitions(path: Path) -> dict[str, Definition]:
    """Name -> function or class at the top of a module."""
    return {node.name: node for node in ast.parse(path.read_text()).body if isinstance(node, Definition)}


def entry(module: str, node: Definition) -> str:
    """One function or class: its import, its signature, its docstring, and a class's public methods and properties."""
    code = f"```python\nfrom {module} import {node.name}\n\n{signature(node)}\n```\n"
    inner = [one for one in node.body if isinstance(one, ast.FunctionDef)] if isinstance(node, ast.ClassDef) else []
    members = "".join(member(one) for one in inner if not one.name.startswith("_") and ast.get_docstring(one))
    listed = f"\n| member | |\n|---|---|\n{members}" if members else ""
    return f"### `{node.name}`\n\n{code}\n{markdown(ast.get_docstring(node) or '')}\n{listed}"


def signature(node: Definition) -> str:
    """The head of a definition as Python, one argument or field a line if there are several."""
    if isinstance(node, ast.ClassDef):
        fields = [
            ast.unparse(one)
            for one in node.body
            if isinstance(one, ast.AnnAssign) and "ClassVar" not in ast.unparse(one)
        ]
        return f"class {node.name}:\n" + "".join(f"    {one}\n" for one in fields or ["..."]).rstrip()
    arguments = ast.unparse(node.args)
    short = f"def {node.name}({arguments})"
    returned = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    if len(short + returned) < 90:
        return f"{short}{returned}: ..."
    split = re.sub(r", (?![^\[(]*[\])])", ",\n    ", arguments)
    return f"def {node.name}(\n    {split},\n){returned}: ..."


def member(node: ast.FunctionDef) -> str:
    """A row about a method or property: the first sentence of its docstring."""
    first = " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())
    is_property = any("property" in ast.unparse(one) for one in node.decorator_list)
    names = [one.arg for one in node.args.args[1:]]
    return f"| `{node.name}{'' if is_property else '(' + ', '.join(names) + ')'}` | {first} |\n"


def markdown(text: str) -> str:
    """A docstring as Markdown: `Raises:` and the like as headings in bold, names of arguments as code."""
    text = re.sub(r"^(\w+):\n((?:    .*\n?)+)", lambda m: f"**{m[1]}**\n\n{listed(m[2])}\n", text, flags=re.MULTILINE)
    return re.sub(r"(?:^|(?<=\. ))([a-z_]+(?:, [a-z_]+)*): ", r"`\1`: ", text, flags=re.MULTILINE)


def listed(block: str) -> str:
    """The indented entries of a docstring's section as a list."""
    entries = re.split(r"\n(?=    \S)", block.rstrip())
    return "\n".join("- " + " ".join(one.split()) for one in entries)


if __name__ == "<run_path>":  # mkdocs-gen-files
    import mkdocs_gen_files

    with mkdocs_gen_files.open("reference/python.md", "w") as file:
        file.write(page())
