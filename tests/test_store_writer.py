import errno
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from limits import open_files_limit
from pipeline_lib.clips import store_writer
from pipeline_lib.clips.decode import Decoding, decode_to_store
from pipeline_lib.clips.sampling import UniformStride
from pipeline_lib.clips.splits import Ucf101, Video
from pipeline_lib.clips.status import DecodedClip, Status
from pipeline_lib.clips.store import Clips
from pipeline_lib.clips.synthetic import SyntheticActions
from pipeline_lib.clips.videos import VideoFiles
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.limits import open_files
from stores import CLIPS, FRAMES, VIDEOS, write

SPEC = VideoFiles(size=32, sampling=UniformStride(frames=4))
DESIGN = SyntheticActions(train_per_class=9, test_per_class=1, classes=["MoveUpLeft", "MoveDownLeft"], lengths=(6, 9))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data set")
    DESIGN.render(folder, workers=2)
    return folder


def test_progress_counts_the_clips(tmp_path: Path) -> None:
    finished: list[int] = []
    write(tmp_path / "clips.h5", progress=finished.append)
    assert finished == list(range(1, 13))


FAILED = replace(CLIPS[4], status=Status.FAILED, message="moov atom not found")


def test_a_store_is_incomplete_until_its_last_clip_is_written(tmp_path: Path) -> None:
    found = []

    def look(finished: int) -> None:
        (temporary,) = tmp_path.glob(".clips.h5.*.tmp")
        with h5py.File(temporary) as file:
            found.append(bool(file.attrs["complete"]))

    write(tmp_path / "clips.h5", progress=look)
    assert found == [False] * len(CLIPS)
    with h5py.File(tmp_path / "clips.h5") as file:
        assert file.attrs["complete"]


def test_failed_videos_are_named_together(tmp_path: Path) -> None:
    with pytest.raises(PipelineError) as caught:
        write(tmp_path / "clips.h5", [FAILED, *CLIPS[1:5], FAILED, *CLIPS[6:]])
    for video in (VIDEOS[0], VIDEOS[5]):
        assert f"{video.path}: moov atom not found" in str(caught.value)
    assert "`tolerate`" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_many_failures_stop_the_work_early(tmp_path: Path) -> None:
    taken = []

    def clips() -> Iterator[DecodedClip]:
        for number in range(1000):
            taken.append(number)
            yield FAILED

    videos = [Video(f"{number}.avi", 0) for number in range(1000)]
    with pytest.raises(PipelineError, match="could not decode"):
        write(tmp_path / "clips.h5", clips(), videos)  # type: ignore[arg-type]
    assert len(taken) == 20


def test_a_tolerated_failure_keeps_its_row_but_is_not_read(tmp_path: Path) -> None:
    store = write(tmp_path / "clips.h5", [*CLIPS[:4], FAILED, *CLIPS[5:]], tolerate=[VIDEOS[4].path])
    clips = Clips(store)
    others = [row for row in range(12) if row != 4]
    assert len(clips) == 11
    assert clips.videos == [VIDEOS[row].path for row in others]
    assert (clips.read(range(11)) == FRAMES[others]).all()
    assert (clips.read([4, 3]) == FRAMES[[5, 3]]).all()
    with h5py.File(store) as file:
        assert file["status"][4] == Status.FAILED
        assert file["message"].asstr()[4] == "moov atom not found"


def test_a_long_message_is_cut_at_a_character(tmp_path: Path) -> None:
    damaged = replace(CLIPS[0], status=Status.DAMAGED, message="x" + "é" * 200)
    store = write(tmp_path / "clips.h5", [damaged, *CLIPS[1:]])
    with h5py.File(store) as file:
        assert file["message"].asstr()[0] == "x" + "é" * 127
    assert Clips(store).status.tolist() == [Status.DAMAGED] + [Status.OK] * 11


def test_no_videos_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="nothing to store"):
        write(tmp_path / "clips.h5", [], [])


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return write(tmp_path / "clips.h5")


def test_an_error_while_decoding_leaves_the_old_file(store: Path) -> None:
    before = store.read_bytes()

    def clips() -> Iterator[DecodedClip]:
        yield CLIPS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(store, clips())  # type: ignore[arg-type]
    assert store.read_bytes() == before
    assert list(store.parent.iterdir()) == [store]


BIG = """
import numpy as np, resource, sys
from pathlib import Path
from pipeline_lib.clips.splits import Video
from pipeline_lib.clips.status import DecodedClip
from pipeline_lib.clips.store_writer import write_store
from pipeline_lib.clips.videos import VideoFiles
from pipeline_lib.errors import PipelineError
{limit}
clip = DecodedClip(np.zeros((8, 64, 64, 3), np.uint8), np.arange(8))
try:
    write_store(Path(sys.argv[1]), [Video("v", 0)] * 100, [clip] * 100, shape=(8, 64, 64, 3), classes=["a"], spec={{}})
except PipelineError as error:
    print(error)
"""


def check_no_space(folder: Path, limit: str) -> None:
    command = [sys.executable, "-c", BIG.format(limit=limit), str(folder / "clips.h5")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.returncode == 0
    size = re.match(rf"No space for {folder}/clips.h5: ([\d,]+) bytes are needed", done.stdout)
    assert size is not None
    assert int(size[1].replace(",", "")) >= 100 * 8 * 64 * 64 * 3
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("limit", [0, 1000, 1 << 20])
def test_a_file_size_limit_is_told_with_the_bytes_needed(tmp_path: Path, limit: int) -> None:
    check_no_space(tmp_path, f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))")


@pytest.mark.parametrize("size", ["4k", "1m", "9600k"])
def test_a_full_disk_is_told_with_the_bytes_needed(tmp_path: Path, size: str) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    try:
        check_no_space(tmp_path, "")
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_the_bytes_are_the_same_whatever_the_number_of_workers(root: Path, tmp_path: Path) -> None:
    stores = []
    for workers, videos_per_process in ((1, 8), (3, 2)):
        stores.append(tmp_path / str(workers) / "clips.h5")
        decoding = Decoding(videos_per_process=videos_per_process)
        decode_to_store(stores[-1], root, "train", Ucf101(), SPEC, decoding, workers)
        time.sleep(1.1)  # HDF5 counts its time stamps in seconds
    content = stores[0].read_bytes()
    assert content == stores[1].read_bytes()
    assert str(root).encode() not in content
    assert str(tmp_path).encode() not in content


def test_decoding_with_many_threads_stays_inside_the_limit_of_open_files(root: Path, tmp_path: Path, caplog) -> None:
    """The same store, and a warning with the limit; where not one process fits, what to do."""
    plain, limited = tmp_path / "plain.h5", tmp_path / "limited.h5"
    each = Decoding(videos_per_process=1)
    decode_to_store(plain, root, "train", Ucf101(), SPEC, each, 1)
    with open_files_limit(open_files() + 16 + 25):
        decode_to_store(limited, root, "train", Ucf101(), SPEC, each, 16)
    assert limited.read_bytes() == plain.read_bytes()
    assert re.search(r"limit of open files is \d+ \(ulimit -n\), .* needs 10 .*: 2 work at a time", caplog.text)
    expected = "of 8 videos needs 38 while it starts: raise the limit, as with ulimit -n"
    with open_files_limit(open_files() + 40), pytest.raises(PipelineError, match=expected):
        decode_to_store(limited, root, "train", Ucf101(), SPEC, Decoding(), 16)


def test_a_decoded_store_holds_the_decoded_clips(root: Path, tmp_path: Path) -> None:
    finished: list[int] = []
    out = tmp_path / "train.h5"
    decode_to_store(out, root, "train", Ucf101(), SPEC, Decoding(), 2, finished.append)
    clips, videos = Clips(out), Ucf101().read(root, "train")
    assert clips.classes == ["MoveDownLeft", "MoveUpLeft"]
    assert [Video(*pair) for pair in zip(clips.videos, clips.labels, strict=True)] == videos
    decoded = SPEC.decode([root / "UCF-101" / video.path for video in videos], Decoding(), 1)
    assert (clips.read(range(18)) == np.stack([clip.frames for clip in decoded])).all()
    assert finished == list(range(1, 19))
    with h5py.File(out) as file:
        sampling = {"frames": 4, "method": "UniformStride"}
        assert json.loads(file.attrs["spec"]) == {"size": 32, "sampling": sampling}


def test_missing_videos_are_told_before_any_is_decoded_or_left_out(tmp_path: Path) -> None:
    replace(DESIGN, train_per_class=2).render(tmp_path, workers=1)
    gone = [video.path for video in Ucf101().read(tmp_path, "train")][1:3]
    for path in gone:
        (tmp_path / "UCF-101" / path).unlink()
    finished: list[int] = []
    call = (tmp_path / "train.h5", tmp_path, "train", Ucf101(), SPEC)
    with pytest.raises(
        PipelineError, match=f"2 of the 4 files in the train list .*UCF-101:\n  {gone[0]}\n  {gone[1]}\n"
    ):
        decode_to_store(*call, Decoding(), 1, finished.append)
    assert finished == []
    decode_to_store(*call, Decoding(tolerate=gone), 1)
    assert len(Clips(tmp_path / "train.h5")) == 2


def test_a_broken_video_of_a_data_set_is_named_or_tolerated(tmp_path: Path) -> None:
    replace(DESIGN, train_per_class=2).render(tmp_path, workers=1)
    broken = "MoveUpLeft/v_MoveUpLeft_g08_c01.mp4"
    (tmp_path / "UCF-101" / broken).write_text("no video")
    out = tmp_path / "train.h5"
    with pytest.raises(PipelineError, match=f"{broken}: .*Invalid data"):
        decode_to_store(out, tmp_path, "train", Ucf101(), SPEC, Decoding(), 1)
    decode_to_store(out, tmp_path, "train", Ucf101(), SPEC, Decoding(tolerate=[broken]), 1)
    assert len(Clips(out)) == 3
    assert broken not in Clips(out).videos


@pytest.mark.parametrize(("frames", "name"), [(2, "v"), (2, "v" * 500), (500, "v")])
def test_the_space_that_is_reserved_first_is_enough(tmp_path, monkeypatch, frames, name):
    """For long names and for many frame numbers, too."""
    reserved = []
    monkeypatch.setattr(store_writer, "reserve", lambda path, size: reserved.append(size))
    clips = [DecodedClip(np.zeros((frames, 1, 1, 3), np.uint8), np.arange(frames))] * 400
    videos = [Video(f"{name}{number}", 0) for number in range(400)]
    write(tmp_path / "clips.h5", clips, videos, shape=(frames, 1, 1, 3))
    first, laid_out = reserved
    assert laid_out <= first < laid_out + store_writer.FILE_BYTES + 400 * store_writer.ROW_BYTES


def test_the_order_of_settings_does_not_change_the_store(tmp_path):
    one = write(tmp_path / "a.h5", spec={"a": 1, "b": {"c": 2, "d": 3}})
    assert write(tmp_path / "b.h5", spec={"b": {"d": 3, "c": 2}, "a": 1}).read_bytes() == one.read_bytes()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_every_way_of_having_no_space_is_one_message_and_other_errors_stay(tmp_path: Path, number: int) -> None:
    expected = rf"No space for {tmp_path}: 1,234 bytes are needed \({os.strerror(number)}\)"
    with pytest.raises(PipelineError, match=expected), store_writer.enough_space(tmp_path, 1234):
        raise OSError(number, os.strerror(number))
    with pytest.raises(OSError, match="input"), store_writer.enough_space(tmp_path, 1234):
        raise OSError(errno.EIO, "input/output error")
