"""Features of clean and of adversarial clips: closed forms on a linear stage, and the figure's numbers."""

import csv
import math
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import tiny
from pipeline_lib.clips.adversarial_store import AdversarialClips
from pipeline_lib.clips.loader import as_clips
from pipeline_lib.clips.store import Clips
from pipeline_lib.errors import PipelineError
from pipeline_lib.evaluation import source
from pipeline_lib.evaluation.features import comparing, measure_features, pair, write_features
from pipeline_lib.evaluation.source import Settings, Source
from pipeline_lib.models.trained import load_model
from pipeline_lib.networks.bn_selector import SelectedNetwork, Softmax
from pipeline_lib.networks.multi_batchnorm import branch_out, through
from pipeline_lib.networks.resnet import ResNet3D
from pipeline_lib.randomness.draws import present_generators
from pipeline_lib.reporting.figures.features import draw_features
from sets import attacked
from training_runs import trained

VIDEOS = ["a", "b", "c"]


class Linear(nn.Module):
    """layer1 triples what it is given and overwrites nothing; layer2 multiplies in place by -2."""

    def __init__(self) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(Scale(3.0))
        self.layer2 = nn.Sequential(InPlace())

    def forward(self, clips: Tensor) -> Tensor:
        return self.layer2(self.layer1(clips)).flatten(1)


class Scale(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, features: Tensor) -> Tensor:
        return features * self.factor


class InPlace(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return features.mul_(-2)


def compared(network: nn.Module, clean: Tensor, adversarial: Tensor, branch: str | None = None) -> dict:
    totals: dict[str, Tensor] = {}
    with comparing(network, totals):
        pair(through(network, branch) if branch else network, clean, adversarial, VIDEOS[: len(clean)])
    return {stage: total.tolist() for stage, total in totals.items()}


def clips(seed: int = 0) -> Tensor:
    return torch.rand(3, 3, 4, 8, 8, generator=torch.Generator().manual_seed(seed))


def test_a_linear_stage_multiplies_the_difference_by_its_square():
    clean = torch.full((3, 3, 4, 8, 8), 0.5)
    totals = compared(Linear(), clean, clean + 0.25)
    assert totals == {"stem": [3 / 16, 3 / 4], "layer1": [27 / 16, 27 / 4], "layer2": [27 / 4, 27]}


def test_the_same_clips_have_the_same_features():
    network = ResNet3D(depth=10, width=4, stages=2)(2)
    totals = compared(network.eval(), clips(), clips())
    assert list(totals) == ["stem", "layer1", "layer2"]
    assert all(difference == 0 < square for difference, square in totals.values())


class Noisy(Linear):
    def forward(self, clips: Tensor) -> Tensor:
        noise = [torch.randn(clip.shape, generator=g) for clip, g in zip(clips, present_generators(6), strict=True)]
        return super().forward(clips + torch.stack(noise))


def test_clean_and_adversarial_clips_are_given_the_same_draws():
    totals = compared(Noisy(), clips(), clips() + 0.5)
    assert totals["stem"][0] == pytest.approx(3 * 0.25, rel=1e-5)
    assert totals["stem"][1] > 3 * 0.9  # uniform squares are 1/3: the noise is there


def network_with_branches() -> nn.Module:
    network = branch_out(ResNet3D(depth=10, width=4, stages=1)(2), ["clean", "lp"]).eval()
    nn.init.constant_(network.bn1.branches[1].weight, 2.0)
    return network


def test_a_branch_is_seen_through_its_view():
    network = network_with_branches()
    clean, lp = (compared(network, clips(), clips(1), branch)["stem"] for branch in ("clean", "lp"))
    assert lp == pytest.approx([4 * value for value in clean], rel=1e-5)


def test_the_stages_of_a_network_that_selects_are_its_targets_and_not_its_selectors():
    network = SelectedNetwork(network_with_branches(), ResNet3D(depth=10, width=4, stages=4)(2), Softmax()).eval()
    assert list(compared(network, clips(), clips(1))) == ["stem", "layer1"]


def test_hooks_end_with_the_comparison_and_a_network_without_stages_is_refused():
    network, totals = Linear(), {}
    with comparing(network, totals):
        pass
    network(clips())
    assert totals == {}
    with pytest.raises(PipelineError, match="no stages layer1"), comparing(nn.Linear(2, 2), {}):
        pass


def test_files_of_a_set_become_a_table_whatever_the_batches(tmp_path, monkeypatch):
    tiny.write_clips(tmp_path / "clips.h5")
    trained(tmp_path, tiny.model_entry(tiny.STANDARD), tmp_path / "clips.h5", "plain")
    attacked(tmp_path, tmp_path)
    sizes, load = [], source.load_model

    def watched(*given):
        found = load(*given)
        found.network.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
        return found

    monkeypatch.setattr(source, "load_model", watched)
    tables = [measured(tmp_path, batch_size) for batch_size in (1, 8)]
    # A clip passes with its clean one: two at once are the fewest.
    assert sizes == [2] * 10 + [8, 8, 4]
    pd.testing.assert_frame_equal(*tables, rtol=1e-4)
    assert list(tables[0]["stage"]) == ["stem", "layer1"]
    network = load_model(tmp_path / "plain.pt", torch.device("cpu")).network
    data = Clips(tmp_path / "clips.h5")
    both = [as_clips(s.read(range(len(data))), "cpu") for s in (data, AdversarialClips(tmp_path / "set.h5", data))]
    with torch.no_grad():
        clean, adversarial = (F.relu(network.bn1(network.conv1(clips))) for clips in both)
    row = tables[0].iloc[0]
    assert row["mean_square_difference"] == pytest.approx(float((adversarial - clean).square().mean()), rel=1e-4)
    assert row["clean_mean_square"] == pytest.approx(float(clean.square().mean()), rel=1e-4)
    assert row["relative"] == pytest.approx(row["mean_square_difference"] / row["clean_mean_square"], rel=1e-4)


def measured(folder: Path, batch_size: int) -> pd.DataFrame:
    output = folder / f"features{batch_size}.csv"
    measure_features(
        Source(weights=folder / "plain.pt"),
        clips=folder / "clips.h5",
        adversarial=folder / "set.h5",
        output=output,
        settings=Settings(batch_size=batch_size, device=torch.device("cpu")),
    )
    return pd.read_csv(output)


def test_features_that_are_all_zero_have_no_relative_difference(tmp_path):
    write_features(tmp_path / "f.csv", {"stem": torch.tensor([2.0, 0.0])}, 4)
    with (tmp_path / "f.csv").open() as file:
        row = next(csv.DictReader(file))
    assert row["mean_square_difference"] == "0.5"
    assert math.isnan(float(row["relative"]))


def test_the_figure_draws_both_columns_at_the_stages_of_the_deepest_network():
    deep = pd.DataFrame({"stage": ["stem", "layer1"], "mean_square_difference": [1.0, 3.0], "relative": [0.5, 0.25]})
    absolute, relative = draw_features([("Halftone", deep.iloc[:1]), ("No Defense", deep)]).axes[:2]
    assert [tick.get_text() for tick in absolute.get_xticklabels()] == ["stem", "layer1"]
    assert absolute.lines[1].get_xydata().tolist() == [[0, 1.0], [1, 3.0]]
    assert relative.lines[0].get_xydata().tolist() == [[0, 0.5]]
