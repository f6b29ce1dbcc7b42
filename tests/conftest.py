"""Modules beside the tests can be imported by them; a model that several files attack is trained once."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    """A folder with clips and a trained model, `plain.pt`."""
    import tiny
    from training_runs import trained

    folder = tmp_path_factory.mktemp("made")
    clips = tiny.write_clips(folder / "clips.h5")
    trained(folder, tiny.model_entry(tiny.STANDARD) | {"training": tiny.TRAINING | {"epochs": 6}}, clips, "plain")
    return folder
