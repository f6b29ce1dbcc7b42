from pathlib import Path

import pytest

from pipeline_lib.clips.hmdb51 import Hmdb51
from pipeline_lib.clips.splits import Ucf101, Video
from pipeline_lib.errors import PipelineError

UCF = {
    "ucfTrainTestlist/classInd.txt": "1 Archery\r\n2 Boxing\r\n3 Écriture\r\n",
    "ucfTrainTestlist/trainlist01.txt": "Archery/a1.avi 1\r\nBoxing/b1.avi 2\r\nÉcriture/空手 1.avi 3\r\n",
    # The official lists were seen with and without a newline at the end.
    "ucfTrainTestlist/testlist01.txt": "Archery/a2.avi\nÉcriture/é2.avi",
}
UCF_VIDEOS = ["Archery/a1.avi", "Archery/a2.avi", "Boxing/b1.avi", "Écriture/空手 1.avi", "Écriture/é2.avi"]
HMDB = {
    "testTrainMulti_7030_splits/wave_test_split1.txt": "w1.avi 1 \nw2.avi 2 \nw3.avi 0 ",
    "testTrainMulti_7030_splits/cartwheel_test_split1.txt": "#c [1]!.avi 1 \nc2.avi 2 \n",
    "testTrainMulti_7030_splits/wave_test_split2.txt": "w3.avi 1 \n",
}
HMDB_VIDEOS = ["wave/w1.avi", "wave/w2.avi", "wave/w3.avi", "cartwheel/#c [1]!.avi", "cartwheel/c2.avi"]


def written(root: Path, lists: dict[str, str], folder: str, videos: list[str]) -> Path:
    for name, content in lists.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content.encode())
    for video in videos:
        (root / folder / video).parent.mkdir(parents=True, exist_ok=True)
        (root / folder / video).touch()
    return root


@pytest.fixture
def ucf(tmp_path: Path) -> Path:
    return written(tmp_path, UCF, "UCF-101", UCF_VIDEOS)


@pytest.fixture
def hmdb(tmp_path: Path) -> Path:
    return written(tmp_path, HMDB, "hmdb51_org", HMDB_VIDEOS)


def test_ucf101_lists(ucf: Path) -> None:
    assert Ucf101().class_names(ucf) == ["Archery", "Boxing", "Écriture"]
    assert Ucf101().read(ucf, "train") == [
        Video("Archery/a1.avi", 0),
        Video("Boxing/b1.avi", 1),
        Video("Écriture/空手 1.avi", 2),
    ]
    assert Ucf101().read(ucf, "test") == [Video("Archery/a2.avi", 0), Video("Écriture/é2.avi", 2)]


def test_hmdb51_lists(hmdb: Path) -> None:
    assert Hmdb51().class_names(hmdb) == ["cartwheel", "wave"]
    assert Hmdb51().read(hmdb, "train") == [Video("cartwheel/#c [1]!.avi", 0), Video("wave/w1.avi", 1)]
    assert Hmdb51().read(hmdb, "test") == [Video("cartwheel/c2.avi", 0), Video("wave/w2.avi", 1)]
    assert Hmdb51(split=2).read(hmdb, "train") == [Video("wave/w3.avi", 0)]


def test_classes_are_numbered_anew_in_the_order_of_the_index(ucf: Path, hmdb: Path) -> None:
    lists = Ucf101(classes=["Écriture", "Boxing"])
    assert lists.class_names(ucf) == ["Boxing", "Écriture"]
    assert lists.read(ucf, "test") == [Video("Écriture/é2.avi", 1)]
    assert Hmdb51(classes=["wave"]).read(hmdb, "train") == [Video("wave/w1.avi", 0)]


@pytest.mark.parametrize("lists", [Ucf101(), Hmdb51()])
def test_listed_files_decide_the_list(ucf: Path, hmdb: Path, lists: Ucf101) -> None:
    before = lists.read(ucf, "train")
    for path in lists.list_files(ucf, "train"):
        path.write_text("")
    assert lists.read(ucf, "train") != before


def test_videos_of_other_classes_need_not_exist(ucf: Path) -> None:
    (ucf / "UCF-101/Boxing/b1.avi").unlink()
    assert len(Ucf101(classes=["Archery"]).read(ucf, "train")) == 1


@pytest.mark.parametrize("lists", [Ucf101(), Hmdb51()])
def test_missing_root(tmp_path: Path, lists: Ucf101) -> None:
    with pytest.raises(PipelineError, match=r"nowhere does not exist.*`root`"):
        lists.read(tmp_path / "nowhere", "train")


def test_missing_list(ucf: Path) -> None:
    with pytest.raises(PipelineError, match=r"trainlist02.txt does not exist.*`split`"):
        Ucf101(split=2).read(ucf, "train")
    with pytest.raises(PipelineError, match=r"no list \*_test_split3.txt"):
        Hmdb51(split=3).read(written(ucf, HMDB, "hmdb51_org", []), "train")


@pytest.mark.parametrize("lists", [Ucf101(classes=["Arch"]), Hmdb51(classes=["Arch"])])
def test_unknown_class_is_named_with_the_known_ones(ucf: Path, hmdb: Path, lists: Ucf101) -> None:
    with pytest.raises(PipelineError, match=r"classes: Arch not in .*Known: (Archery, Boxing|cartwheel, wave)"):
        lists.read(ucf, "train")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("classInd.txt", b"1 Archery\nBoxing\n", "classInd.txt, line 2: expected `number class`"),
        ("trainlist01.txt", b"Archery/a1.avi\n", "trainlist01.txt, line 1: expected `Class/name number`"),
        ("trainlist01.txt", b"Nothing/a1.avi 1\n", "trainlist01.txt, line 1: 'Nothing' is not a class of classInd.txt"),
        ("trainlist01.txt", "Écriture/空手 1.avi 3".encode("utf-16"), "trainlist01.txt is not UTF-8"),
    ],
)
def test_a_list_of_another_form_is_named(ucf: Path, name: str, content: bytes, message: str) -> None:
    (ucf / "ucfTrainTestlist" / name).write_bytes(content)
    with pytest.raises(PipelineError, match=message):
        Ucf101().read(ucf, "train")


def test_hmdb51_mark_must_be_known(hmdb: Path) -> None:
    (hmdb / "testTrainMulti_7030_splits/wave_test_split1.txt").write_text("w1.avi 1\nw2.avi 3\n")
    with pytest.raises(PipelineError, match=r"wave_test_split1.txt, line 2: the mark is '3'"):
        Hmdb51().read(hmdb, "train")


def test_byte_order_mark_is_no_part_of_the_first_line(ucf: Path) -> None:
    index = ucf / "ucfTrainTestlist/classInd.txt"
    index.write_bytes(b"\xef\xbb\xbf" + index.read_bytes())
    assert Ucf101().class_names(ucf) == ["Archery", "Boxing", "Écriture"]


def test_unknown_split(ucf: Path) -> None:
    with pytest.raises(PipelineError, match=r"'val'.*train, test"):
        Ucf101().read(ucf, "val")
