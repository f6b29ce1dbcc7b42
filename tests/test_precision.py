"""The precision of matrix products and convolutions on a GPU in all jobs; any machine can read the settings."""

from typing import ClassVar

import pytest
from torch.backends import cuda, cudnn

import tiny
from pipeline_lib.defenses.standard import Standard
from pipeline_lib.evaluation import source
from pipeline_lib.evaluation.cascade import Step, make_union
from pipeline_lib.evaluation.feature_maps import write_feature_maps
from pipeline_lib.evaluation.source import Run, Settings, Source
from pipeline_lib.precision import computing_in
from sets import CPU, attacked, predicted
from test_features import measured
from test_framing import ENTRY, learned
from training_runs import trained, with_training


def now() -> tuple[str, ...]:
    return tuple(place.fp32_precision for place in (cuda.matmul, cudnn.conv, cudnn.rnn))


def test_tf32_is_allowed_inside_only_and_fp32_forbids_it():
    before = now()
    with computing_in("tf32"):
        assert now() == ("tf32",) * 3
        with computing_in("fp32"):
            assert now() == ("ieee",) * 3
        with pytest.raises(KeyError), computing_in("bf16"):
            assert now() == ("tf32",) * 3
            raise KeyError
    assert now() == before


@pytest.fixture
def folder(made, tmp_path):
    """Clips, a model, and a set."""
    for name in ("clips.h5", "plain.pt"):
        (tmp_path / name).symlink_to(made / name)
    return attacked(made, tmp_path)


def union(folder) -> None:
    given = {"weights": folder / "plain.pt", "clips": folder / "clips.h5", "clean": [], "output": folder / "union.csv"}
    run, settings = Run(folder=folder / "runs", code="code"), Settings(batch_size=4, device=CPU, precision="tf32")
    make_union([Step(name="pgd", entry=tiny.PGD)], run=run, settings=settings, **given)


def maps(folder) -> None:
    given = {"clips": folder / "clips.h5", "adversarial": folder / "set.h5", "stage": "layer1", "clip": 0}
    write_feature_maps(Source(weights=folder / "plain.pt"), **given, output=folder / "maps.npz", device=CPU)


JOBS = {
    "predictions": lambda folder: predicted(folder, folder, folder / "set.h5"),
    "features": lambda folder: measured(folder, 8),
    "feature maps": maps,
    "learned pattern": lambda folder: learned(ENTRY, folder / "clips.h5", folder / "plain.pt", folder),
    "set": lambda folder: attacked(folder, folder / "tf32", precision="tf32"),
    "union": union,
}


@pytest.mark.parametrize("job", JOBS)
def test_every_job_scores_in_fp32_whatever_the_precision_of_gradients(folder, monkeypatch, job):
    seen, load = set(), source.load_model

    def watched(*given):
        found = load(*given)
        found.network.register_forward_pre_hook(lambda _, clips: seen.add((clips[0].requires_grad, now())))
        return found

    monkeypatch.setattr(source, "load_model", watched)
    JOBS[job](folder)
    expected = "tf32" if job in ("set", "union") else "ieee"
    assert seen <= {(False, ("ieee",) * 3), (True, (expected,) * 3)}
    assert seen


class Watched(Standard):
    seen: ClassVar[set] = set()

    def objective(self, network, clips, labels, draw):
        self.seen.add(now())
        return super().objective(network, clips, labels, draw)


@pytest.mark.parametrize(("precision", "expected"), [("fp32", "ieee"), ("tf32", "tf32"), ("bf16", "tf32")])
def test_a_training_computes_in_its_own_precision(made, tmp_path, precision, expected):
    Watched.seen.clear()
    trained(tmp_path, with_training({"method": f"{__name__}:Watched"}, precision=precision), made / "clips.h5")
    assert Watched.seen == {(expected,) * 3}
