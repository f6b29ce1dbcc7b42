"""The examples of the README, which the tests run as they are written there."""

import re
from pathlib import Path

TEXT = (Path(__file__).parents[1] / "README.md").read_text()


def example(language: str, containing: str) -> str:
    """The block of code in a language that contains some text."""
    (found,) = (
        block for block in re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL) if containing in block
    )
    return found
