"""Is a model robust? `from pipeline_lib.check import evaluate`, or the command `python -m pipeline_lib.check`.

Names are imported on first use: importing the package does not load torch.
"""

from importlib import import_module
from typing import Any

_HOME = {"evaluate": "evaluating", "Options": "options", "Threat": "threats"}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"{__name__} has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
