"""Repeats decoding until each video's main stream and true number of frames are known."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from pipeline_lib.clips.ffmpeg_command import FIRST_VIDEO, Limits, Request
from pipeline_lib.clips.ffmpeg_process import Output, Received, run_ffmpeg
from pipeline_lib.clips.main_stream import main_stream, shown
from pipeline_lib.clips.sampling import Sampling

# After the first run of a video: for its main stream, for its number of frames, for frames of several sizes.
LATER_RUNS = 3


def decode_exactly(
    requests: Sequence[Request], size: int, sampling: Sampling, limits: Limits
) -> tuple[Output, list[Request]]:
    """The frames that the sampling chooses by each video's true number of frames, and the requests for them.

    Scaling and sending every frame would nearly double the time. So the first run selects frames by the number in the
    header and counts all frames; videos for which others would be chosen are decoded a second time. After an error in
    a process with several videos there is no second run.
    """
    wanted = list(requests)
    output = run_ffmpeg(wanted, size, limits)
    for _ in range(LATER_RUNS):
        if output.code is None:
            break
        changed = {
            place: improved(wanted[place], output.videos[place], sampling, limits) for place in range(len(wanted))
        }
        if len(wanted) > 1 and not output.clean:
            return output, [guess(changed[place] or request) for place, request in enumerate(wanted)]
        again = {place: request for place, request in changed.items() if request is not None}
        if not again:
            break
        later = run_ffmpeg(list(again.values()), size, limits)
        output = combined(
            output, later, {place: request.stream != wanted[place].stream for place, request in again.items()}
        )
        for place, request in again.items():
            wanted[place] = request
    return output, wanted


def guess(request: Request) -> Request:
    """A request for the first run of a video: whether its frames change their size is found in that run."""
    return dataclasses.replace(request, changes_size=False)


def improved(request: Request, video: Received, sampling: Sampling, limits: Limits) -> Request | None:
    """The request for the main stream, for the true number of frames, or for frames of several sizes; None if nothing
    is to be changed."""
    streams = shown(video.streams)
    if request.stream == FIRST_VIDEO and len(streams) > 1:
        stream, count = main_stream(request.path, streams, limits.containers, limits.deadline)
        if stream != streams[0]:
            count = 1 if request.start is not None or request.end is not None else max(1, count)
            return dataclasses.replace(request, stream=str(stream.number), numbers=np.unique(sampling(count)))
    if request.changes_size or not 0 < video.count <= limits.max_frames:
        return None
    numbers = np.unique(sampling(video.count))
    if video.changes_size or not np.array_equal(numbers, request.numbers):
        return dataclasses.replace(request, numbers=numbers, changes_size=video.changes_size)
    return None


def combined(first: Output, later: Output, other_stream: dict[int, bool]) -> Output:
    """The results after some videos were decoded again, by their place; `other_stream`: whether from another stream.

    A video whose two decodings differ in the number of frames has failed.
    """
    videos = list(first.videos)
    for (place, other), video in zip(other_stream.items(), later.videos, strict=True):
        before = videos[place]
        if not video.lines and not other:  # of frames that change their size, which are not counted again
            video = dataclasses.replace(video, count=before.count, lines=before.lines)
        videos[place] = video if other or video.count == before.count else Received(video.frames[:0], 0)
    if any(other_stream.values()):
        return Output(videos, later.code, later.errors)
    return Output(videos, None if later.code is None else first.code or later.code, first.errors or later.errors)
