"""Counts and pixels of many kinds of files against PyAV, which reads them by its own copy of ffmpeg's libraries."""

import re
from functools import cache
from pathlib import Path

import av
import av.filter
import numpy as np
import pytest

from pipeline_lib.clips.sampling import Linspace
from pipeline_lib.clips.status import Status
from pipeline_lib.clips.videos import VideoFiles
from pipeline_lib.ffmpeg_binary import banner, ffmpeg_binary
from videos import decode, encode, every_frame

SPEC = VideoFiles(size=32, sampling=Linspace(frames=5))
X264, X265 = ("-c:v", "libx264"), ("-c:v", "libx265", "-x265-params", "log-level=none")
MPEG4 = ("-c:v", "mpeg4", "-qscale", "3")
FFV1 = ("-c:v", "ffv1")
VARYING = ("-vf", "select='not(mod(n,3))+not(mod(n,5))'", "-fps_mode", "vfr")
# Name -> the options of its encoding, and the containers beside the default ones.
KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "mpeg4.avi": (MPEG4, ()),
    "mpeg4_b.avi": ((*MPEG4, "-bf", "2"), ()),
    "xvid.avi": ((*MPEG4, "-bf", "2", "-vtag", "XVID"), ()),
    "mpeg4_quarter.avi": ((*MPEG4, "-flags", "+qpel"), ()),
    "msmpeg4.avi": (("-c:v", "msmpeg4", "-qscale", "3"), ()),
    "wmv1.avi": (("-c:v", "wmv1"), ()),
    "mjpeg.avi": (("-c:v", "mjpeg", "-pix_fmt", "yuvj420p"), ()),
    "huffyuv.avi": (("-c:v", "huffyuv"), ()),
    "raw.avi": (("-c:v", "rawvideo", "-pix_fmt", "bgr24"), ()),
    "cinepak.avi": (("-c:v", "cinepak"), ()),
    "h264.mp4": ((*X264, "-pix_fmt", "yuv420p"), ()),
    "h264_b.mp4": ((*X264, "-pix_fmt", "yuv420p", "-bf", "3", "-x264-params", "b-pyramid=normal"), ()),
    "h264_open.mp4": ((*X264, "-pix_fmt", "yuv420p", "-g", "10", "-x264-params", "open-gop=1"), ()),
    "h264_intra.mov": ((*X264, "-pix_fmt", "yuv422p", "-g", "1"), ()),
    "h264_444.mp4": ((*X264, "-pix_fmt", "yuv444p"), ()),
    "h264_10.mp4": ((*X264, "-pix_fmt", "yuv420p10le"), ()),
    "h264_gray.mp4": ((*X264, "-pix_fmt", "gray"), ()),
    "h264_rgb.mkv": (("-c:v", "libx264rgb", "-pix_fmt", "rgb24", "-crf", "0"), ()),
    "h264_interlaced.mp4": ((*X264, "-pix_fmt", "yuv420p", "-flags", "+ildct+ilme"), ()),
    "h264_fast_start.mp4": ((*X264, "-pix_fmt", "yuv420p", "-movflags", "+faststart"), ()),
    "h264_fragments.mp4": ((*X264, "-pix_fmt", "yuv420p", "-g", "10", "-movflags", "frag_keyframe+empty_moov"), ()),
    "h264_vfr.mkv": ((*X264, "-pix_fmt", "yuv420p", *VARYING), ()),
    "h264.3gp": ((*X264, "-pix_fmt", "yuv420p"), ()),
    "hevc.mp4": ((*X265, "-pix_fmt", "yuv420p"), ()),
    "hevc_10.mkv": ((*X265, "-pix_fmt", "yuv420p10le"), ()),
    "vp8.webm": (("-c:v", "libvpx", "-b:v", "300k"), ()),
    "vp9.webm": (("-c:v", "libvpx-vp9", "-b:v", "300k", "-cpu-used", "8"), ()),
    "prores.mov": (("-c:v", "prores_ks"), ()),
    "png.mov": (("-c:v", "png", "-pix_fmt", "rgb24"), ()),
    "animation.mov": (("-c:v", "qtrle", "-pix_fmt", "rgb24"), ()),
    "jpeg2000.mov": (("-c:v", "jpeg2000", "-pix_fmt", "yuv420p"), ()),
    "ffv1.mkv": ((*FFV1, "-pix_fmt", "yuv420p"), ()),
    "ffv1_411.mkv": ((*FFV1, "-pix_fmt", "yuv411p"), ()),
    "ffv1_gray.avi": ((*FFV1, "-pix_fmt", "gray"), ()),
    "ffv1_12.mkv": ((*FFV1, "-pix_fmt", "yuv422p12le"), ()),
    "ffv1_rgb.mkv": ((*FFV1, "-pix_fmt", "bgr0"), ()),
    "utvideo.avi": (("-c:v", "utvideo", "-pix_fmt", "yuv422p"), ()),
    "full_range.mkv": ((*X264, "-pix_fmt", "yuvj420p", "-color_range", "pc"), ()),
    "mpeg1.mpg": (("-c:v", "mpeg1video"), ()),
    "mpeg2.mpg": (("-c:v", "mpeg2video", "-bf", "2"), ()),
    "mpeg2.vob": (("-c:v", "mpeg2video"), ()),
    "sound.mp4": (("-f", "lavfi", "-i", "sine=d=2", *X264, "-pix_fmt", "yuv420p", "-c:a", "aac"), ()),
    "other_rate.mkv": ((*X264, "-pix_fmt", "yuv420p", "-r", "29.97"), ()),
    "flv1.flv": (("-c:v", "flv1"), ("flv",)),
    "h264.flv": ((*X264, "-pix_fmt", "yuv420p"), ("flv",)),
    "h264.ts": ((*X264, "-pix_fmt", "yuv420p"), ("mpegts",)),
    "mpeg2.m2v": (("-c:v", "mpeg2video"), ("mpegvideo",)),
    "wmv2.wmv": (("-c:v", "wmv2"), ("asf",)),
    "vp8.ogv": (("-c:v", "libvpx", "-b:v", "300k"), ("ogg",)),
    "raw.y4m": (("-c:v", "wrapped_avframe", "-pix_fmt", "yuv420p"), ("yuv4mpegpipe",)),
    "h264.nut": ((*X264, "-pix_fmt", "yuv420p"), ("nut",)),
}


def pyav_frames(path: Path) -> np.ndarray:
    """All frames (N, 32, 32, 3) by PyAV; only their pixel format is changed."""
    frames = []
    with av.open(str(path)) as container:
        stream, graph = container.streams.video[0], av.filter.Graph()
        steps = [graph.add_buffer(template=stream), graph.add("scale", "flags=bilinear"), graph.add("format", "gbrp")]
        graph.link_nodes(*steps, graph.add("buffersink")).configure()
        for frame in container.decode(stream):
            graph.push(frame)
            frames.append(graph.pull().to_ndarray())
    return np.stack(frames)


@cache
def has_the_scaler_of_pyav() -> bool:
    """Whether the ffmpeg that decodes has PyAV's libswscale: that of 5.1 gives unresized 4:2:0 frames other pixels."""
    major = av.library_versions["libswscale"][0]
    return re.search(rf"libswscale +{major}\.", banner(ffmpeg_binary())) is not None


@pytest.mark.parametrize("kind", KINDS)
def test_counts_and_pixels_are_those_of_pyav(tmp_path: Path, kind: str) -> None:
    options, containers = KINDS[kind]
    path = encode(tmp_path / kind, *options, size="32x32", frames=21)
    [clip] = decode(path, spec=SPEC, containers=list(containers))  # type: ignore[arg-type]
    frames = pyav_frames(path)
    assert (clip.status, clip.message) == (Status.OK, "")
    assert clip.index.tolist() == SPEC.sampling(len(frames)).tolist()
    expected = frames if has_the_scaler_of_pyav() else every_frame(path, 32)
    assert (clip.frames == expected[clip.index]).all()
