"""Image data sets: lists, decoders and their statuses, and one store for all of them."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms.v2 import functional as torchvision

from pipeline_lib.clips import image_lists
from pipeline_lib.clips.decode import Decoding, decode_to_store
from pipeline_lib.clips.image_lists import CIFAR10_RECORD_BYTES, Cifar10, ImageLists
from pipeline_lib.clips.images import Cifar10Records, ImageFiles, fitted
from pipeline_lib.clips.splits import Video
from pipeline_lib.clips.status import DecodedClip, Status
from pipeline_lib.clips.store import Clips
from pipeline_lib.errors import PipelineError

GENERATOR = np.random.default_rng(0)
PHOTO = GENERATOR.integers(0, 256, (37, 53, 3), np.uint8)
LISTS = {
    "lists/classes.txt": "cat\ndog\nfrog\n",
    "lists/train.txt": "a/one two.png cat\r\nb.png frog\n",
    "lists/test.txt": "c.png dog",
}
CIFAR_CLASSES = ["airplane", "automobile", "bird"]
RECORDS = 4


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in LISTS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(text.encode())
    for name in ("a/one two.png", "b.png", "c.png"):
        (tmp_path / "images" / name).parent.mkdir(exist_ok=True, parents=True)
        Image.fromarray(PHOTO).save(tmp_path / "images" / name)
    return tmp_path


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files of CIFAR-10's layout with four records each; record n of file f has the label (f + n) mod 3."""
    monkeypatch.setattr(image_lists, "CIFAR10_RECORDS", RECORDS)
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    (folder / "batches.meta.txt").write_text("\n".join(CIFAR_CLASSES) + "\n\n")
    for number, name in enumerate([*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]):
        content = np.random.default_rng(number).integers(0, 256, (RECORDS, CIFAR10_RECORD_BYTES), np.uint8)
        content[:, 0] = (number + np.arange(RECORDS)) % 3
        content.tofile(folder / name)
    return tmp_path


RESIZED = ImageFiles(size=16, resize=True)


def decoded(*paths: Path, size: int = 16, workers: int = 1, **decoding: int) -> list[DecodedClip]:
    return list(ImageFiles(size=size, resize=True, convert=True).decode(paths, Decoding(**decoding), workers))


def store(out: Path, root: Path, lists: object, decoder: ImageFiles, split: str = "train", workers: int = 1) -> Path:
    decode_to_store(out, root, split, lists, decoder, Decoding(), workers)  # type: ignore[arg-type]
    return out


def test_image_lists(root: Path) -> None:
    assert ImageLists().class_names(root) == ["cat", "dog", "frog"]
    assert ImageLists().read(root, "train") == [Video("a/one two.png", 0), Video("b.png", 2)]
    assert ImageLists(classes=["frog", "dog"]).read(root, "train") == [Video("b.png", 1)]
    assert ImageLists().read(root, "test") == [Video("c.png", 1)]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("train", "b.png cow", r"train\.txt, line 1: 'cow' is not a class of classes\.txt"),
        ("train", "b.png cat\nb.png dog", r"train\.txt, line 2: b\.png is listed twice"),
        ("train", "b.png", r"train\.txt, line 1: expected `path class`"),
        ("classes", "cat", r"train\.txt, line 2: 'frog' is not a class"),
    ],
)
def test_a_wrong_line_of_a_list_is_named(root: Path, name: str, text: str, message: str) -> None:
    (root / f"lists/{name}.txt").write_text(text)
    with pytest.raises(PipelineError, match=message):
        ImageLists().read(root, "train")


def test_a_missing_list_is_named(root: Path) -> None:
    (root / "lists/train.txt").unlink()
    with pytest.raises(PipelineError, match=r"lists/train\.txt does not exist"):
        ImageLists().read(root, "train")


@pytest.mark.parametrize(("height", "width"), [(37, 53), (53, 37), (16, 40), (12, 9), (90, 16), (64, 64)])
def test_images_are_resized_and_cut_as_torchvision_does(height: int, width: int) -> None:
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8))
    whole = torchvision.resize(image, [16], antialias=True)
    left, top = ((side - 16) // 2 for side in whole.size)
    expected = np.asarray(whole.crop((left, top, left + 16, top + 16)), int)
    # The last bit of the filter's weights depends on where the image is cut.
    assert np.abs(np.asarray(fitted(image, 16), int) - expected).max() <= 1
    assert (np.asarray(fitted(image, 16), int) != expected).mean() < 0.1


def test_an_image_of_the_right_size_keeps_its_pixels(tmp_path: Path) -> None:
    Image.fromarray(PHOTO[:16, :16]).save(tmp_path / "a.png")
    [clip] = decoded(tmp_path / "a.png")
    assert (clip.frames == PHOTO[None, :16, :16]).all()
    assert (clip.index.tolist(), clip.status, clip.message) == ([0], Status.OK, "")


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_other_kinds_of_pixels_become_rgb(tmp_path: Path, mode: str) -> None:
    Image.fromarray(PHOTO).convert(mode).save(tmp_path / "a.tiff")
    [clip] = decoded(tmp_path / "a.tiff")
    assert clip.status is Status.OK
    assert clip.frames.shape == (1, 16, 16, 3)


@pytest.mark.parametrize(
    ("size", "mode", "message"),
    [
        ((16, 16), "L", "pixels of mode L, not RGB: images.convert: true converts them"),
        ((16, 16), "RGBA", "pixels of mode RGBA, not RGB"),
        ((17, 16), "RGB", "17 x 16 pixels, not 16 x 16: images.resize: true resizes and crops it"),
    ],
)
def test_images_are_not_changed_without_a_word(root: Path, size: tuple[int, int], mode: str, message: str) -> None:
    for name in ("a/one two.png", "b.png", "c.png"):
        Image.fromarray(PHOTO[:16, :16]).save(root / "images" / name)
    Image.new(mode, size).save(root / "images/b.png")
    with pytest.raises(PipelineError, match=f"b.png: {message}"):
        store(root / "train.h5", root, ImageLists(), ImageFiles(size=16))


def test_a_long_thin_image_needs_no_memory_for_what_is_cut_away(tmp_path: Path) -> None:
    Image.new("RGB", (100_000, 1), (1, 2, 3)).save(tmp_path / "a.png")
    [clip] = decoded(tmp_path / "a.png", size=256)  # whole, it would be 20 GB
    assert (clip.frames == [1, 2, 3]).all()


def damaged(folder: Path) -> dict[Path, str]:
    """Files that are no images, and what their status says."""
    Image.fromarray(PHOTO).save(folder / "whole.png")
    content = (folder / "whole.png").read_bytes()
    contents = {
        "cut.png": (content[: len(content) // 2], "truncated"),
        "text.png": (b"not an image", "cannot identify image file 'text.png'"),
        "empty.jpg": (b"", "cannot identify"),
        "script.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "cannot identify"),
    }
    for name, (data, _) in contents.items():
        (folder / name).write_bytes(data)
    Image.fromarray(np.full((20, 20), 40_000, np.uint16)).save(folder / "deep.png")
    (folder / "folder.png").mkdir()
    others = {"deep.png": "8 bits", "folder.png": "not a regular file", "gone.png": "the file does not exist"}
    return {folder / name: words for name, words in ({n: w for n, (_, w) in contents.items()} | others).items()}


def test_damaged_images_fail_with_a_reason_that_repeats(tmp_path: Path) -> None:
    reasons = damaged(tmp_path)
    clips = decoded(*reasons, tmp_path / "whole.png")
    for clip, words in zip(clips, reasons.values(), strict=False):
        assert clip.status is Status.FAILED
        assert words in clip.message
        assert str(tmp_path) not in clip.message
        assert clip.index.tolist() == [-1]
        assert not clip.frames.any()
    assert clips[-1].status is Status.OK


def test_too_large_an_image_fails(tmp_path: Path) -> None:
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    [clip] = decoded(tmp_path / "a.png", max_pixels=37 * 53 - 1)
    assert (clip.status, clip.message) == (Status.FAILED, "53 x 37 pixels are more than max_pixels = 1960")


def test_failed_images_are_named_and_may_be_left_out(root: Path) -> None:
    (root / "images/b.png").unlink()
    with pytest.raises(
        PipelineError, match=r"1 of the 2 files in the train list do not exist below .*images:\n  b\.png\n.*tolerate"
    ):
        store(root / "train.h5", root, ImageLists(), RESIZED)
    assert not (root / "train.h5").exists()
    tolerant = Decoding(tolerate=["b.png"])
    decode_to_store(root / "train.h5", root, "train", ImageLists(), RESIZED, tolerant, 1)
    assert Clips(root / "train.h5").videos == ["a/one two.png"]


def test_the_store_is_that_of_videos_with_one_frame(root: Path) -> None:
    clips = Clips(store(root / "train.h5", root, ImageLists(), RESIZED))
    assert clips.shape == (1, 16, 16, 3)
    assert (clips.labels.tolist(), clips.classes) == ([0, 2], ["cat", "dog", "frog"])
    assert clips.index.tolist() == [[0], [0]]
    assert (clips.read([1])[0, 0] == np.asarray(fitted(Image.fromarray(PHOTO), 16))).all()


def test_the_number_of_threads_is_no_part_of_the_store(root: Path) -> None:
    lines = []
    for number in range(150):
        Image.fromarray(np.roll(PHOTO, number, 0)).save(root / f"images/{number}.png")
        lines.append(f"{number}.png cat")
    (root / "lists/train.txt").write_text("\n".join(lines))
    one, three = (store(root / f"{n}.h5", root, ImageLists(), RESIZED, workers=n) for n in (1, 3))
    assert one.read_bytes() == three.read_bytes()


def test_no_size_is_too_small(root: Path) -> None:
    with pytest.raises(PipelineError, match="size is 0"):
        ImageFiles(size=0)


@pytest.mark.parametrize(("split", "files"), [("train", range(5)), ("test", [5])])
def test_cifar10_is_read_as_its_page_describes_it(cifar: Path, split: str, files: range) -> None:
    clips = Clips(store(cifar / "clips.h5", cifar, Cifar10(), Cifar10Records(), split))
    place = 0
    for number in files:
        content = np.random.default_rng(number).integers(0, 256, (RECORDS, CIFAR10_RECORD_BYTES), np.uint8)
        for record in range(RECORDS):
            image = clips.read([place])[0, 0]
            # 1,024 bytes of red, row by row, then green, then blue.
            for row, column, channel in [(0, 0, 0), (0, 31, 1), (7, 3, 2), (31, 31, 2)]:
                assert image[row, column, channel] == content[record, 1 + 1024 * channel + 32 * row + column]
            assert clips.labels[place] == (number + record) % 3
            place += 1
    assert len(clips) == place
    assert len(set(clips.videos)) == place
    assert clips.videos[1] == ("data_batch_1.bin/00001" if split == "train" else "test_batch.bin/00001")


def test_cifar10_in_part(cifar: Path) -> None:
    some = Cifar10(classes=["bird", "airplane"], train_images=3, test_images=1)
    assert some.class_names(cifar) == ["airplane", "bird"]
    expected = [
        Video("data_batch_1.bin/00000", 0),
        Video("data_batch_1.bin/00002", 1),
        Video("data_batch_1.bin/00003", 0),
    ]
    assert some.read(cifar, "train") == expected
    assert len(some.read(cifar, "test")) == 1


def test_cifar10_in_another_size(cifar: Path) -> None:
    plain, small = (
        Clips(store(cifar / f"{size}.h5", cifar, Cifar10(), Cifar10Records(size=size), "test")) for size in (32, 16)
    )
    for row in range(RECORDS):
        expected = fitted(Image.fromarray(plain.read([row])[0, 0]), 16)
        assert (small.read([row])[0, 0] == np.asarray(expected)).all()


def spoil(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "label":
        content[2 * CIFAR10_RECORD_BYTES] = 3
    path.write_bytes(content[:-1] if how == "cut" else content[:-CIFAR10_RECORD_BYTES] if how == "short" else content)
    if how == "missing":
        path.unlink()
    if how == "pickle":
        path.write_bytes(pickle.dumps({b"labels": [0] * RECORDS}))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("cut", r"data_batch_3\.bin has 12,291 bytes and not 12,292: it is truncated"),
        ("short", r"data_batch_3\.bin has 9,219 bytes and not 12,292"),
        ("label", r"data_batch_3\.bin, record 2: the label is 3, but there are 3 classes"),
        ("pickle", r"data_batch_3\.bin is a pickle\. Pickles are refused: reading one can run code"),
        ("missing", r"data_batch_3\.bin does not exist\. Unpack cifar-10-binary\.tar\.gz"),
    ],
)
def test_a_wrong_cifar10_file_is_named(cifar: Path, how: str, message: str) -> None:
    spoil(cifar / "cifar-10-batches-bin/data_batch_3.bin", how)
    with pytest.raises(PipelineError, match=message):
        store(cifar / "clips.h5", cifar, Cifar10(), Cifar10Records())
    assert not (cifar / "clips.h5").exists()


def test_the_python_version_of_cifar10_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()
    with pytest.raises(PipelineError, match="CIFAR-10's Python version. Pickles are refused: reading one can run code"):
        Cifar10().class_names(tmp_path)


def test_a_missing_cifar10_folder_is_named_while_planning(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"batches\.meta\.txt does not exist.*correct `root`"):
        Cifar10().class_names(tmp_path)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "jpg", "tiff", "webp"])
def test_images_are_upright_by_their_exif_data(tmp_path: Path, orientation: int, ending: str) -> None:
    """The stored pixels are those of a photograph taken with a turned camera; the corners of the upright one differ."""
    upright = np.zeros((16, 16, 3), np.uint8)
    upright[:8, :8], upright[:8, 8:], upright[8:, :8] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    turns = [None, *(Image.Transpose(number) for number in (0, 3, 1, 5, 4, 6, 2))]
    inverse = {
        Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270,
        Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90,
    }
    turn, stored = turns[orientation - 1], Image.fromarray(upright)
    if turn is not None:
        stored = stored.transpose(inverse.get(turn, turn))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / f"a.{ending}", exif=exif, **({"quality": 95} if ending in ("jpg", "webp") else {}))
    [clip] = decoded(tmp_path / f"a.{ending}")
    assert np.abs(clip.frames[0, 3::8, 3::8].astype(int) - upright[3::8, 3::8]).max() < 30


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_data_do_not_fail_an_image(tmp_path: Path) -> None:
    Image.fromarray(PHOTO[:16, :16]).save(tmp_path / "a.png", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    [clip] = decoded(tmp_path / "a.png")
    assert (clip.status, (clip.frames == PHOTO[None, :16, :16]).all()) == (Status.OK, True)


def test_16_bits_are_reduced_only_on_request(tmp_path: Path) -> None:
    wide = np.random.default_rng(0).integers(0, 2**16, (16, 16, 3), np.uint16)
    (tmp_path / "a.ppm").write_bytes(b"P6\n16 16\n65535\n" + wide.astype(">u2").tobytes())
    [refused] = ImageFiles(size=16).decode([tmp_path / "a.ppm"], Decoding(), 1)
    [reduced] = decoded(tmp_path / "a.ppm")
    assert refused.message == "16 bits per channel, not 8: images.convert: true keeps the upper 8"
    assert np.abs(reduced.frames[0].astype(int) - wide / 257).max() <= 1


def test_an_image_that_may_not_be_read_is_one_failure(tmp_path: Path) -> None:
    Image.fromarray(PHOTO[:16, :16]).save(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to("/proc/self/mem")  # its first byte cannot be read
    clips = decoded(tmp_path / "b.png", tmp_path / "a.png")
    assert [clip.status for clip in clips] == [Status.FAILED, Status.OK]
    assert clips[0].message == "the file cannot be read (Input/output error)"
