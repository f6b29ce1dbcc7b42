"""Noise for batches of clips: the numbers of each clip's own generator, on any device and in any batch."""

import pytest
import torch

from pipeline_lib.randomness.generators import clip_generators, clip_seed
from pipeline_lib.randomness.noise import fill_each, fill_in_threads, noise_like

SHAPE = (5, 3, 4, 9, 7)
FILLS = {
    "uniform": lambda noise, generator: noise.uniform_(-0.3, 0.3, generator=generator),
    "normal": lambda noise, generator: noise.normal_(0, 0.1, generator=generator),
}


def generators(count: int = SHAPE[0]) -> list[torch.Generator]:
    return clip_generators(3, [str(i) for i in range(count)])


def one_by_one(fill) -> torch.Tensor:
    """Each clip's noise in a tensor of its own."""
    return torch.stack([fill(torch.empty(SHAPE[1:]), generator) for generator in generators()])


@pytest.mark.parametrize("fill", FILLS.values(), ids=FILLS)
def test_a_batch_holds_the_numbers_of_its_clips(fill):
    clips = torch.zeros(5, 3, 4, 7, 9).transpose(3, 4)  # the memory layout of the clips makes no other numbers
    assert torch.equal(noise_like(clips, generators(), fill), one_by_one(fill))


@pytest.mark.parametrize("fill", FILLS.values(), ids=FILLS)
@pytest.mark.parametrize("threads", [1, 2, 3, 16])
def test_threads_draw_the_same_bits(fill, threads):
    noise = torch.full(SHAPE, torch.nan)
    fill_in_threads(noise, generators(), fill, threads)
    assert torch.equal(noise, one_by_one(fill))


def test_of_no_clips_nothing_is_drawn():
    fill_in_threads(torch.empty(0, 3), [], FILLS["normal"], 4)


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_threads_fill_tensors_of_every_mode_and_generators_go_on(mode):
    """What is drawn next does not depend on how the first batch was filled."""
    in_turn, in_threads = generators(), generators()
    for _ in range(2):
        with mode():
            expected, noise = torch.empty(SHAPE), torch.empty(SHAPE)
            fill_each(expected, in_turn, FILLS["normal"])
            fill_in_threads(noise, in_threads, FILLS["normal"], 2)
            assert torch.equal(noise, expected)


def test_errors_of_threads_are_raised_and_every_clip_needs_its_generator():
    def broken(noise, generator):
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        fill_in_threads(torch.empty(SHAPE), generators(), broken, 2)
    for count in (4, 6):
        with pytest.raises(ValueError, match=f"{count} generators for 5 clips"):
            noise_like(torch.empty(SHAPE), generators(count), FILLS["normal"])


@pytest.mark.gpu
@pytest.mark.parametrize("fill", FILLS.values(), ids=FILLS)
def test_a_gpu_gets_the_same_bits(fill):
    """Also when the pinned memory is drawn into again while earlier copies may be on their way."""
    clips = torch.zeros(SHAPE, device="cuda")
    found = [noise_like(clips, generators(), fill) for _ in range(20)]
    assert all(torch.equal(noise.cpu(), one_by_one(fill)) for noise in found)
    with torch.inference_mode():
        assert torch.equal(noise_like(clips, generators(), fill).cpu(), one_by_one(fill))


def test_a_name_has_the_same_numbers_in_every_version():
    """The first eight bytes of `printf 7:v_Archery_g01_c01.avi | sha256sum` are 1ef2359abefa0641."""
    assert clip_seed(7, "v_Archery_g01_c01.avi") == 0x1EF2359ABEFA0641 >> 1
    first = torch.rand(1, generator=clip_generators(7, ["v_Archery_g01_c01.avi"])[0])
    assert torch.equal(first, torch.rand(1, generator=torch.Generator().manual_seed(0x1EF2359ABEFA0641 >> 1)))
