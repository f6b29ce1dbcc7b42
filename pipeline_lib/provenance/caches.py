"""Results that are read from source files, kept in `__pycache__` beside Python's own compiled files."""

import contextlib
import importlib.util
import os
import sys
from pathlib import Path


def cache_file(path: Path, ending: str) -> Path:
    """Where something about a Python file is kept. ending: of the file's name, with a dot."""
    return Path(importlib.util.cache_from_source(str(path))).with_suffix(ending)


def write_cache(store: Path, text: str) -> None:
    """Writes the file at once; nothing where Python writes no compiled files, or in a read-only installation."""
    if sys.dont_write_bytecode:
        return
    with contextlib.suppress(OSError):
        store.parent.mkdir(parents=True, exist_ok=True)  # PYTHONPYCACHEPREFIX may name another folder
        temporary = store.with_name(f"{store.name}.{os.getpid()}")
        temporary.write_text(text)
        temporary.replace(store)
