"""A tiny data set, network and training that run in a second: for tests of the loop, not of its accuracy."""

from pathlib import Path

import numpy as np

from pipeline_lib.clips.splits import Video
from pipeline_lib.clips.status import DecodedClip
from pipeline_lib.clips.store_writer import write_store

SHAPE = (4, 8, 8, 3)
CLASSES = ["Left", "Right"]
NETWORK = {
    "method": "pipeline_lib.networks.resnet:ResNet3D",
    "depth": 10,
    "width": 4,
    "stages": 1,
    "stem_kernel": 3,
    "stem_pool": False,
}
SCHEDULE = {"method": "pipeline_lib.training.schedules:OneCycle"}
TRAINING = {"epochs": 2, "batch_size": 4, "learning_rate": 0.1, "schedule": SCHEDULE, "select_on": "last"}
CROP_AND_FLIP = {"method": "pipeline_lib.clips.augmentation:CropAndFlip", "padding": 2}
PGD = {
    "method": "pipeline_lib.attacks.ascent:Ascent",
    "perturbation": {
        "method": "pipeline_lib.attacks.perturbations:AdditiveLinf",
        "epsilon": 8 / 255,
        "step_size": 2 / 255,
    },
    "start": {"method": "pipeline_lib.attacks.starts:UniformNoise", "radius": 8 / 255},
    "steps": 2,
}
ROA = {
    "method": "pipeline_lib.attacks.ascent:Ascent",
    "perturbation": {"method": "pipeline_lib.attacks.perturbations:AdditiveLinf", "epsilon": 1.0, "step_size": 0.3},
    "region": {"method": "pipeline_lib.attacks.regions:RandomRectangle", "height": 3, "width": 3},
    "start": {"method": "pipeline_lib.attacks.starts:Constant", "value": 0.5},
    "steps": 2,
}
STANDARD = {"method": "pipeline_lib.defenses.standard:Standard"}
AT_PGD = {"method": "pipeline_lib.defenses.adversarial_training:AdversarialTraining", "attack": PGD}
AVERAGE = {"method": "pipeline_lib.defenses.multi_perturbation:Average", "attacks": [PGD, ROA]}
MULTIBN = {
    "method": "pipeline_lib.defenses.multibn:MultiBNManual",
    "branches": {"clean": [], "lp": [PGD], "physical": [ROA]},
}
MAXIMUM = {"method": "pipeline_lib.defenses.multi_perturbation:Maximum", "attacks": [PGD, ROA]}
TRADES = {"method": "pipeline_lib.defenses.trades:Trades", "attack": PGD, "beta": 1.0}
L1 = {
    "method": "pipeline_lib.attacks.ascent:Ascent",
    "perturbation": {"method": "pipeline_lib.attacks.lp_perturbations:AdditiveL1", "epsilon": 2.0, "step_size": 0.1},
    "steps": 2,
}
STEEPEST = {"method": "pipeline_lib.attacks.steepest:Steepest", "attacks": [PGD, L1, ROA], "steps": 2}
AT_MSD = AT_PGD | {"attack": STEEPEST}
DEFENSES = {
    "standard": STANDARD,
    "at_pgd": AT_PGD,
    "average": AVERAGE,
    "maximum": MAXIMUM,
    "trades": TRADES,
    "at_msd": AT_MSD,
    "multibn": MULTIBN,
}


def model_entry(defense: dict, seed: int = 0) -> dict:
    return {"network": NETWORK, "defense": defense, "training": TRAINING, "seed": seed}


def write_clips(path: Path, count: int = 10, seed: int = 0, shape: tuple[int, int, int, int] = SHAPE) -> Path:
    """Random clips of two classes, the second one brighter, in a real store."""
    generator = np.random.default_rng(seed)
    videos = [Video(f"{CLASSES[i % 2]}/v_{i:02}.avi", i % 2) for i in range(count)]
    frames = [generator.integers(20, 140, shape, dtype=np.uint8) + np.uint8(60 * (i % 2)) for i in range(count)]
    clips = [DecodedClip(frame, np.arange(shape[0])) for frame in frames]
    write_store(path, videos, clips, shape=shape, classes=CLASSES, spec={})
    return path
