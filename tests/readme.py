"""The examples of the README and of CONTRIBUTING.md, which the tests run as they are written there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def example(language: str, containing: str, document: str = "README.md") -> str:
    """The block of code in a language that contains some text."""
    text = (ROOT / document).read_text()
    (found,) = (
        block for block in re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL) if containing in block
    )
    return found
