"""Ensembles of trained models: the mean of their logits, as a model that other models are attacked from."""

import pytest
import torch

import tiny
from configured import CONFIG, changed, resolved
from pipeline_lib.attacks import AdditiveLinf, Ascent, craft
from pipeline_lib.configuration.estimates import Estimates
from pipeline_lib.configuration.inputs import Inputs as JobInputs
from pipeline_lib.configuration.parameters import model_entry
from pipeline_lib.configuration.paths import Paths
from pipeline_lib.configuration.structure import without_nulls
from pipeline_lib.entries.building import build
from pipeline_lib.errors import PipelineError
from pipeline_lib.models import checkpoint
from pipeline_lib.models.ensemble import MeanLogits
from pipeline_lib.models.trained import load_model, new_network
from pipeline_lib.training.job import Inputs, Outputs, train_model

CPU = torch.device("cpu")
CLIPS = torch.rand(3, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 0])
DEFENSES = [tiny.STANDARD, tiny.AVERAGE]
UNTRAINED = tiny.TRAINING | {"epochs": 0}
PGD = Ascent(perturbation=AdditiveLinf(epsilon=0.1, step_size=0.02), steps=3)


def member(folder, seed: int, defense=tiny.STANDARD, classes=tuple(tiny.CLASSES)):
    entry = {"network": tiny.NETWORK, "defense": defense, "training": UNTRAINED, "seed": seed}
    network, _ = new_network(entry, len(classes))
    path = folder / f"member{seed}{len(classes)}.pt"
    checkpoint.save(path, network, entry=entry, classes=list(classes), epochs=[])
    return path


def ensemble(folder, members):
    """The checkpoint of an ensemble, made by the training job."""
    tiny.write_clips(folder / "clips.h5")
    entries = [checkpoint.load(path)["entry"] for path in members]
    parts = [
        {"method": "pipeline_lib.models.ensemble:Member"} | {key: entry[key] for key in ("network", "defense")}
        for entry in entries
    ]
    network = {"method": "pipeline_lib.models.ensemble:Ensemble", "members": parts}
    entry = {"network": network, "defense": tiny.STANDARD, "training": UNTRAINED, "seed": 0}
    outputs = Outputs(weights=folder / "both.pt", history=folder / "both.csv", runs=folder / "runs")
    given = Inputs(clips=folder / "clips.h5", members=tuple(members))
    train_model(entry, given, outputs, code="", device=CPU)
    return folder / "both.pt"


@pytest.mark.parametrize("defense", DEFENSES, ids=["standard", "average"])
def test_its_logits_are_the_mean_of_its_members(tmp_path, defense):
    paths = [member(tmp_path, 0), member(tmp_path, 1, defense)]
    both = load_model(ensemble(tmp_path, paths), CPU)
    logits = [load_model(path, CPU).network(CLIPS) for path in paths]
    torch.testing.assert_close(both.network(CLIPS), (logits[0] + logits[1]) / 2)
    assert not torch.allclose(*logits)
    assert both.classes == tiny.CLASSES


def test_a_model_with_itself_is_the_model_bit_for_bit(tmp_path):
    one = member(tmp_path, 0)
    twice, alone = (load_model(path, CPU).network for path in (ensemble(tmp_path, [one, one]), one))
    assert torch.equal(twice(CLIPS), alone(CLIPS))
    attacked = [craft(network, CLIPS, LABELS, PGD) for network in (twice, alone)]
    assert torch.equal(*attacked)
    assert not torch.equal(attacked[0], CLIPS)


def test_members_of_other_classes_are_refused(tmp_path):
    paths = [member(tmp_path, 0), member(tmp_path, 1, classes=("Left", "Up", "Right"))]
    with pytest.raises(PipelineError, match=r"member13\.pt: its 3 classes are other than the 2 of the training"):
        ensemble(tmp_path, paths)


def test_the_order_of_the_members_is_part_of_the_run(tmp_path):
    tiny.write_clips(tmp_path / "clips.h5")
    paths = member(tmp_path, 0), member(tmp_path, 1)
    keys = [Inputs(clips=tmp_path / "clips.h5", members=given).digests() for given in (paths, paths[::-1], ())]
    assert len(set(map(tuple, keys))) == 3


def with_ensemble(**entry) -> dict:
    """A part of the demo's configuration, with an ensemble as the source of its black-box table."""
    config = changed("models.both", {"members": ["standard", "surrogate"]} | entry)
    models = ("standard", "surrogate", "multibn_manual", "avg", "both")
    study = CONFIG["studies"]["multibn_black_box"] | {"source": "both", "rows": {"AVG": "avg"}}
    parts = {"models": {name: config["models"][name] for name in models}, "studies": {"black_box": study}}
    return without_nulls(config | parts | {"figures": {}})


def test_its_weights_are_those_of_the_models_that_it_names():
    plan = resolved(with_ensemble())
    entry = plan["models"]["both-s0"]
    assert JobInputs(plan, Paths("r")).member_weights("synthetic", "both-s0") == [
        "r/synthetic/models/standard-s0.pt",
        "r/synthetic/models/surrogate-s0.pt",
    ]
    assert JobInputs(plan, Paths("r")).member_weights("synthetic", "standard-s0") == []
    assert "members" not in model_entry(plan, "both-s0")
    cells = plan["studies"]["black_box"]["rows"]["AVG"]["pgd"]
    assert cells == [{"target": "avg-s0", "attack": "pgd", "source": "both-s0"}]
    network = build(entry["network"])(8)
    assert isinstance(network, MeanLogits)
    surrogate = plan["models"]["surrogate-s0"]["network"]
    assert entry["network"]["members"][1]["network"] == surrogate


def test_it_costs_what_its_members_cost():
    estimates = Estimates(plan=resolved(with_ensemble()), batch_size=4, counts={}, given={})
    one, two, both = (estimates.counted("synthetic", f"{name}-s0") for name in ("standard", "surrogate", "both"))
    assert both.parameters == one.parameters + two.parameters
    assert both.operations == {key: one.operations[key] + two.operations[key] for key in one.operations}
    assert estimates.work("train", {"dataset": "synthetic", "model": "both-s0"}).operations == 0


def test_members_have_the_seed_of_the_ensemble():
    config = with_ensemble() | {"seeds": [0, 1]}
    config["models"]["surrogate"] = config["models"]["surrogate"] | {"seeds": [0]}
    assert resolved(config)["models"]["both-s1"]["members"] == ["standard-s1", "surrogate-s0"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"members": ["standard", "nobody"]}, r"models\.both\.members\[1\]: unknown model 'nobody'"),
        ({"members": ["standard"]}, r"models\.both\.members: \['standard'\] is too short"),
        ({"members": ["standard", "standard"]}, "has non-unique elements"),
        ({"members": ["standard", "both"]}, r"models\.both\.members\[1\]: 'both' is an ensemble: name its members"),
        ({"members": ["standard", "multibn_manual"]}, r"members\[1\]: multibn_manual-s0 has branches: an ensemble"),
        ({"network": "tiny"}, r"models\.both: 'network' is not one of \['members', 'seeds'\]"),
    ],
)
def test_wrong_ensembles_are_refused_while_planning(entry, message):
    with pytest.raises(PipelineError, match=message):
        resolved(with_ensemble(**entry))


def test_no_model_starts_from_an_ensemble():
    config = with_ensemble()
    config["models"]["avg"] = CONFIG["models"]["avg"] | {"initial": "both"}
    with pytest.raises(PipelineError, match=r"models\.avg\.initial: 'both' is an ensemble"):
        resolved(config)
