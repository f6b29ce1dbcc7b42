"""Independent libraries that tests compare with."""

import importlib
import os
from types import ModuleType

import pytest


def oracle(name: str) -> ModuleType:
    """The library; without it the test is skipped, or with REQUIRE_ORACLES=1 in the environment fails."""
    if os.environ.get("REQUIRE_ORACLES") == "1":
        return importlib.import_module(name)
    return pytest.importorskip(name)
