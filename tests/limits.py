"""Limits that the system sets to a process, for what happens when they are met."""

import resource
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager


@contextmanager
def limited(kind: int, value: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))


def file_size_limit(size: int) -> AbstractContextManager[None]:
    """No file can grow beyond `size` bytes: writing fails as on a full disk."""
    return limited(resource.RLIMIT_FSIZE, size)


def open_files_limit(count: int) -> AbstractContextManager[None]:
    """No more than `count` descriptors."""
    return limited(resource.RLIMIT_NOFILE, count)
