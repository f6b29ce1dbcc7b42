"""The examples of README, CONTRIBUTING.md and the documentation, which the tests run as they are written there."""

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), ROOT / "config/README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(document: Path, language: str) -> list[str]:
    """The blocks of code in a language, those of lists without their indentation."""
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(block) for block in found]


def example(language: str, containing: str) -> str:
    """The block of code in a language that contains some text, in the only document that has one."""
    (found,) = (block for document in DOCUMENTS for block in blocks(document, language) if containing in block)
    return found
