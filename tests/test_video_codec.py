"""Recompression by video codecs: close at high quality, coarser with larger numbers, the same bytes each time."""

import pytest
import torch

from pipeline_lib.errors import PipelineError
from pipeline_lib.transforms.bpda import transformed
from pipeline_lib.transforms.video_codec import VideoCodec
from test_transforms import clips_of

CLIPS = clips_of((2, 3, 6, 64, 48))
CODECS = {"h264": (10, 40), "h265": (10, 40), "mpeg2": (2, 31)}


@pytest.mark.parametrize("codec", CODECS)
def test_larger_numbers_are_coarser_and_the_result_is_always_the_same(codec):
    fine, coarse = (VideoCodec(codec=codec, quality=quality)(CLIPS) for quality in CODECS[codec])
    assert (fine - CLIPS).abs().mean() < (coarse - CLIPS).abs().mean()
    assert (fine - CLIPS).abs().mean() < 0.03
    assert torch.equal(coarse, VideoCodec(codec=codec, quality=CODECS[codec][1])(CLIPS))
    assert torch.equal(coarse[1:], VideoCodec(codec=codec, quality=CODECS[codec][1])(CLIPS[1:]))


def test_its_gradient_is_the_identity_by_bpda():
    clips = CLIPS[:1].clone().requires_grad_()
    transformed(VideoCodec(codec="h264", quality=30), clips).sum().backward()
    assert torch.equal(clips.grad, torch.ones_like(clips))


def test_odd_sides_and_numbers_that_an_encoder_does_not_have_are_named():
    with pytest.raises(PipelineError, match="quality is 32: of mpeg2 it is at most 31"):
        VideoCodec(codec="mpeg2", quality=32)
    with pytest.raises(PipelineError, match="15 x 16: a video codec needs even sides"):
        VideoCodec(codec="h264", quality=23)(CLIPS[..., :15, :16])
