"""torchvision's networks as methods: its weights fit, its numbers hold."""

import torch
from torchvision.models.video import R3D_18_Weights, r3d_18

from pipeline_lib.networks.torchvision_networks import TorchvisionR3D18


def test_it_has_the_published_number_of_parameters():
    with torch.device("meta"):
        network = TorchvisionR3D18()(400)
    assert sum(p.numel() for p in network.parameters()) == R3D_18_Weights.KINETICS400_V1.meta["num_params"]


def test_weights_of_torchvision_load_strictly_and_give_its_logits():
    source, ours = r3d_18(num_classes=4).eval(), TorchvisionR3D18()(4).eval()
    clips = torch.rand(1, 3, 4, 16, 16)
    with torch.no_grad():
        assert not torch.equal(ours(clips), source(clips))
        ours.load_state_dict(source.state_dict(), strict=True)
        assert torch.equal(ours(clips), source(clips))
