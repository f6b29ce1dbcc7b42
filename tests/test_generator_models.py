"""Generators as models: named by transforms, trained once, resumed, marked where they only guess, refused elsewhere."""

from pathlib import Path

import pytest
import torch

import tiny
from configured import resolved, stacked
from pipeline_lib.configuration.inputs import Inputs as InputFiles
from pipeline_lib.configuration.paths import Paths
from pipeline_lib.configuration.targets import selector_models
from pipeline_lib.errors import PipelineError
from pipeline_lib.models import checkpoint
from pipeline_lib.models.trained import load_model
from pipeline_lib.records.selectors import guessing_part
from pipeline_lib.training.job import Inputs, Outputs, train_model
from training_runs import history, trained, trained_step_by_step

CPU = torch.device("cpu")
NETWORKS = "pipeline_lib.networks.generators"
PIXELCNN = {"method": f"{NETWORKS}.pixelcnn:PixelCNN", "width": 4, "blocks": 1, "mixtures": 2}
WGAN = {"method": f"{NETWORKS}.wgan:Wgan", "size": 8, "latents": 4, "width": 4}
ADAM = {"method": "pipeline_lib.training.optimizers:AdamW"}
TRAINING = tiny.TRAINING | {"learning_rate": 0.01, "optimizer": ADAM}
GENERATORS = {
    "likelihood": (PIXELCNN, "pipeline_lib.defenses.generators.maximum_likelihood:MaximumLikelihood"),
    "wgan": (WGAN, "pipeline_lib.defenses.generators.wasserstein:Wasserstein"),
}


def entry_of(kind: str, **training) -> dict:
    network, defense = GENERATORS[kind]
    entry = {"network": network, "defense": {"method": defense}, "training": TRAINING | training, "seed": 0}
    if kind == "wgan":
        entry["defense"]["critic_steps"] = 2
    return entry


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    return tiny.write_clips(tmp_path_factory.mktemp("clips") / "train.h5", shape=(1, 8, 8, 3))


@pytest.mark.parametrize("kind", GENERATORS)
def test_a_training_that_is_stopped_after_every_step_ends_with_the_same_bytes(tmp_path, images, monkeypatch, kind):
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = trained(tmp_path / "whole", entry_of(kind), images)
    parts, stops = trained_step_by_step(tmp_path / "parts", entry_of(kind), images, monkeypatch)
    assert stops >= 4
    assert parts.read_bytes() == whole.read_bytes()
    assert {"generator_loss", "generator_guess"} <= set(history(whole)[0])


def test_the_likelihood_rises_in_training(tmp_path, images):
    rows = history(trained(tmp_path, entry_of("likelihood", epochs=8), images))
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])


def test_a_generator_that_was_not_trained_is_warned_of(tmp_path, images, caplog):
    weights = trained(tmp_path, entry_of("likelihood", learning_rate=0.0), images)
    assert guessing_part(history(weights)) == "generator"
    assert "the generator has learned nothing: its loss is" in caplog.text


def test_a_model_holds_the_weights_of_its_generator_and_does_not_train_them(tmp_path, images):
    generator = trained(tmp_path, entry_of("wgan"), images, "generator")
    network = {"method": "pipeline_lib.networks.resnet:ResNet2D", "depth": 10, "width": 4, "stages": 1}
    transform = {
        "method": "pipeline_lib.transforms.defense_gan:DefenseGan",
        "generator": WGAN,
        "restarts": 1,
        "steps": 2,
    }
    defense = {
        "method": "pipeline_lib.defenses.transformed:Transformed",
        "transform": transform,
        "defense": tiny.STANDARD,
    }
    entry = {"network": network, "defense": defense, "training": tiny.TRAINING, "seed": 0}
    outputs = Outputs(weights=tmp_path / "m.pt", history=tmp_path / "m.csv", runs=tmp_path / "runs")
    inputs = Inputs(clips=images, generator=generator)
    train_model(entry, inputs, outputs, code="code", device=CPU)
    own, wanted = load_model(tmp_path / "m.pt", CPU).network, checkpoint.load(generator)["state"]
    assert all(torch.equal(own.get_submodule("generator.block").state_dict()[name], wanted[name]) for name in wanted)
    other = trained(tmp_path, entry_of("likelihood"), images, "other")
    with pytest.raises(PipelineError, match=r"other.pt: not the weights of this transform's generator"):
        train_model(entry, Inputs(clips=images, generator=other), outputs, code="code", device=CPU)


def test_the_model_of_a_transform_is_an_input_of_the_training_and_its_history_is_read_for_marks():
    plan = resolved(stacked("generative"))
    assert plan["models"]["pixel_defend-s0"]["generator"] == "pixelcnn-s0"
    assert plan["models"]["shapes-s0"]["generator"] is None
    files = InputFiles(plan, Paths("results"))
    assert files.generator_weights("shapes", "defense_gan-s0") == ["results/shapes/models/wgan-s0.pt"]
    assert selector_models(["pixel_defend-s0", "defense_gan-s0", "shapes-s0"], plan["models"]) == [
        "pixelcnn-s0",
        "wgan-s0",
    ]


BEHIND = {"method": "transformed", "defense": {"method": "standard"}}
PIXEL_DEFEND = BEHIND | {"transform": {"method": "pixel_defend", "generator": "pixelcnn"}}
ERRORS = [
    ("pixel_defend.defense.transform.generator", "nothing", "unknown generator 'nothing'; known: pixelcnn, wgan"),
    ("pixel_defend.defense.transform.generator", "shapes", "unknown generator 'shapes'"),
    (
        "pixel_defend.defense.transform.generator",
        "wgan",
        "it needs a generator of likelihood; the one named is of images",
    ),
    ("pixel_defend.defense.defense", PIXEL_DEFEND, "two transforms have a generator: name one"),
    ("pixelcnn.defense", {"method": "standard"}, "the network generates likelihood, and the defense trains one that"),
    ("wgan.defense", {"method": "maximum_likelihood"}, "the network generates images of latents"),
    ("shapes.defense", {"method": "wasserstein"}, "the network generates nothing"),
    ("wgan.training", "untrained", "models.wgan.training: epochs is 0: a generator without training"),
    (
        "pixelcnn.defense",
        PIXEL_DEFEND | {"defense": {"method": "maximum_likelihood"}},
        "a generator is trained on clips as they are",
    ),
]


@pytest.mark.parametrize(("path", "value", "message"), ERRORS)
def test_what_fits_no_generator_is_refused_before_any_job(path, value, message):
    config = stacked("generative")
    *parents, last = path.split(".")
    entry = config["models"]
    for name in parents:
        entry = entry[name]
    entry[last] = value
    with pytest.raises(PipelineError, match=message):
        resolved(config)


def test_a_generator_is_no_row():
    config = stacked("generative", given={"studies": {"generative": {"rows": {"PixelCNN": "pixelcnn"}}}})
    with pytest.raises(
        PipelineError, match=r"models.pixelcnn: it is a generator, and has no classes: it cannot be a row"
    ):
        resolved(config)
