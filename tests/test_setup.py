"""What the setup of a run does to its process."""

import gc
import weakref

import pytest

from pipeline_lib.jobs.setup import NEW_OBJECTS, exclude_loaded_from_collection


class Node:
    """An object that only a collection frees: it refers to itself."""

    def __init__(self) -> None:
        self.itself = self


def is_collected(node: Node) -> bool:
    """Whether the garbage collection looks at an object."""
    return any(one is node for one in gc.get_objects())


@pytest.fixture
def collection():
    """Garbage collection as it was, afterwards."""
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_only_what_is_loaded_later_is_collected(collection):
    loaded = Node()
    exclude_loaded_from_collection.__wrapped__()
    later, freed = Node(), weakref.ref(Node())
    assert is_collected(later)
    assert not is_collected(loaded)
    assert gc.get_threshold()[0] == NEW_OBJECTS
    gc.collect()
    assert freed() is None


def test_once_in_a_process(collection):
    exclude_loaded_from_collection()
    frozen, later = gc.get_freeze_count(), Node()
    exclude_loaded_from_collection()
    assert gc.get_freeze_count() == frozen
    assert is_collected(later)
