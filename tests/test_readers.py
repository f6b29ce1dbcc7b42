"""Data sets as people have them: class folders, tables, Kinetics' and Something-Something's lists."""

import json
from pathlib import Path

import pytest

from pipeline_lib.clips.class_folders import ClassFolders
from pipeline_lib.clips.kinetics import Kinetics
from pipeline_lib.clips.leaks import require_separate
from pipeline_lib.clips.listed_paths import below
from pipeline_lib.clips.manifests import Manifest
from pipeline_lib.clips.shares import chosen_for_testing, group_of
from pipeline_lib.clips.something_something import SomethingSomethingV1, SomethingSomethingV2
from pipeline_lib.clips.splits import Lists, Ucf101, Video
from pipeline_lib.errors import PipelineError


def touch(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def write(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def paths(lists: Lists, root: Path, split: str) -> dict[str, str]:
    """Path -> class."""
    names = lists.class_names(root)
    return {video.path: names[video.label] for video in lists.read(root, split)}


def refused(lists: Lists, root: Path, message: str, split: str = "train") -> None:
    with pytest.raises(PipelineError, match=message):
        lists.read(root, split)


# Class folders


def test_class_folders_of_two_splits(tmp_path):
    """Names of classes and files are any; junk is passed over and counted; a subfolder of a class belongs to it."""
    touch(tmp_path, "train/riding a bike/a 1.mp4", "train/riding a bike/set {2}/b.avi", "train/Écriture/c%.mkv")
    touch(tmp_path, "test/riding a bike/d.mp4", "test/Écriture/e.mp4")
    touch(tmp_path, "train/riding a bike/._a 1.mp4", "train/.DS_Store", "test/Écriture/Thumbs.db", "train/.git/x/y.mp4")
    lists = ClassFolders()
    assert paths(lists, tmp_path, "train") == {
        "train/riding a bike/a 1.mp4": "riding a bike",
        "train/riding a bike/set {2}/b.avi": "riding a bike",
        "train/Écriture/c%.mkv": "Écriture",
    }
    assert list(paths(lists, tmp_path, "test")) == ["test/riding a bike/d.mp4", "test/Écriture/e.mp4"]
    assert lists.passed_over(tmp_path, "train") == [
        "test/Écriture/Thumbs.db",
        "train/.DS_Store",
        "train/.git",
        "train/riding a bike/._a 1.mp4",
    ]
    assert ClassFolders(classes=["Écriture"]).read(tmp_path, "test") == [Video("test/Écriture/e.mp4", 0)]


def test_class_folders_elsewhere_and_of_other_names(tmp_path):
    touch(tmp_path, "data/training/a/1.mp4", "data/val/a/2.mp4")
    lists = ClassFolders(folder="data", train="training", test="val")
    assert lists.read(tmp_path, "test") == [Video("val/a/2.mp4", 0)]
    assert (lists.video_root(tmp_path) / "val/a/2.mp4").exists()
    refused(ClassFolders(folder="data"), tmp_path, r"data has no folder 'train'.* `test_share`")
    refused(ClassFolders(folder="dat"), tmp_path, r"dat does not exist.*`root` or `folder`")


def test_folders_of_frames_are_items(tmp_path):
    touch(tmp_path, "train/a/clip1/00001.jpg", "train/a/clip2/00001.jpg", "train/a/readme.txt", "test/a/clip3/1.jpg")
    assert list(paths(ClassFolders(items="folders"), tmp_path, "train")) == ["train/a/clip1", "train/a/clip2"]


@pytest.fixture
def one_level(tmp_path: Path) -> Path:
    names = [f"{name}/v_{name}_g{group:02}_c{clip}.avi" for name in "abc" for group in range(10) for clip in range(4)]
    return touch(tmp_path, *names)


def test_a_share_of_each_class_is_for_testing(one_level):
    lists = ClassFolders(test_share=0.25, seed=1)
    train, test = (paths(lists, one_level, split) for split in ("train", "test"))
    assert [list(test.values()).count(name) for name in "abc"] == [10, 10, 10]
    assert len(train.keys() | test.keys()) == len(train) + len(test) == 120
    assert paths(lists, one_level, "test") == test
    assert paths(ClassFolders(test_share=0.25, seed=2), one_level, "test") != test


def test_a_new_file_moves_few_others(one_level):
    lists = ClassFolders(test_share=0.25)
    before = set(paths(lists, one_level, "test"))
    touch(one_level, "a/new.avi")
    assert len(before ^ set(paths(lists, one_level, "test"))) <= 2


def test_clips_of_one_source_are_never_separated(one_level):
    lists = ClassFolders(test_share=0.25, group=r"_(g\d+)_")
    train, test = (paths(lists, one_level, split) for split in ("train", "test"))
    source = group_of(r"_(g\d+)_")
    assert not {source(path) for path in train} & {source(path) for path in test}
    assert all(6 <= list(test.values()).count(name) <= 14 for name in "abc")
    with pytest.raises(PipelineError, match=r"group: 'x.*' matches nothing in 'a/v_a_g00_c0.avi'"):
        ClassFolders(test_share=0.25, group=r"x(\d)").read(one_level, "test")
    with pytest.raises(PipelineError, match=r"group: '\(' is no regular expression"):
        ClassFolders(test_share=0.25, group="(").read(one_level, "test")


def test_every_class_keeps_videos_on_both_sides():
    items = [(f"{name}{number}", name) for name in "ab" for number in range(2)]
    for share in (0.01, 0.99):
        chosen = chosen_for_testing(items, share, seed=0)
        assert sorted(name[0] for name in chosen) == ["a", "b"]


# Tables

CSV = "path,label,split\na/1.mp4,wave a hand,train\n./a/2.mp4,clap,train\nb 3.mp4,clap,test\nb4.mp4,wave a hand,val\n"


def test_a_table(tmp_path):
    write(tmp_path, manifest_DOT_csv=CSV)
    assert Manifest().class_names(tmp_path) == ["clap", "wave a hand"]
    assert Manifest().read(tmp_path, "train") == [Video("a/1.mp4", 1), Video("a/2.mp4", 0)]
    assert Manifest().passed_over(tmp_path, "train") == ["b4.mp4"]
    both = Manifest(test=["test", "val"])
    assert both.read(tmp_path, "test") == [Video("b 3.mp4", 0), Video("b4.mp4", 1)]
    assert Manifest().list_files(tmp_path, "test") == [tmp_path / "manifest.csv"]


@pytest.mark.parametrize("delimiter", ["\t", ";"])
def test_other_delimiters_and_names_of_columns(tmp_path, delimiter):
    text = CSV.replace(",", delimiter).replace("path", "file").replace("label", "action")
    write(tmp_path, manifest_DOT_csv="\ufeff" + text)
    lists = Manifest(columns={"path": "file", "label": "action"})
    assert lists.read(tmp_path, "test") == [Video("b 3.mp4", 0)]


def test_quoted_values_and_empty_lines(tmp_path):
    write(tmp_path, manifest_DOT_csv='path,label,split\n\n"a, b.mp4","x\ny",train\n\n"c.mp4",z\n')
    refused(Manifest(), tmp_path, "manifest.csv, line 6: 2 values, but the first line names 3")


def test_json_lines_with_intervals(tmp_path):
    rows = [
        {"path": "a.mp4", "label": 10, "split": "train", "start": 1.5, "end": "3"},
        {"path": "a.mp4", "label": 9, "split": "train", "start": 3},
        {"path": "b.mp4", "label": 9, "split": "test", "start": None, "end": 2, "more": "x"},
    ]
    write(tmp_path, m_DOT_jsonl="\n".join(map(json.dumps, rows)))
    lists = Manifest(file="m.jsonl")
    assert lists.class_names(tmp_path) == ["9", "10"]  # by number
    assert lists.read(tmp_path, "train") == [Video("a.mp4", 1, 1.5, 3.0), Video("a.mp4", 0, 3.0)]
    assert lists.read(tmp_path, "test") == [Video("b.mp4", 0, None, 2.0)]


def test_a_table_without_splits_is_split_by_a_share(tmp_path):
    rows = "".join(f"s{number // 4}_{number}.mp4,{'ab'[number % 2]}\n" for number in range(40))
    write(tmp_path, manifest_DOT_csv="path,label\n" + rows)
    lists = Manifest(test_share=0.2, group=r"^s\d+")
    train, test = (lists.read(tmp_path, split) for split in ("train", "test"))
    assert len(test) == 8
    assert not {video.path.split("_")[0] for video in train} & {video.path.split("_")[0] for video in test}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\na,b\n", r"manifest.csv, line 2: no 'split'; it has path, label"),
        ("path,label,split\na,b,train,c\n", "line 2: 4 values, but the first line names 3"),
        ("path,label,split\na,,train\n", "line 2: no 'label'"),
        ("path,label,split,start\na,b,train,x\n", "line 2: start: 'x' is no number of seconds"),
        ("path,label,split,end\na,b,train,-1\n", "line 2: end: '-1' is no time in a video"),
        ("path,label,split,start,end\na,b,train,2,2\n", "line 2: the interval begins at 2.0 and ends at 2.0"),
        ("path,label,split\n../a,b,train\n", "line 2: ../a is not below"),
        ("path,label,split\n/elsewhere/a,b,train\n", "line 2: /elsewhere/a is not below"),
        ("", "manifest.csv is empty"),
    ],
)
def test_wrong_tables(tmp_path, text, message):
    refused(Manifest(), write(tmp_path, manifest_DOT_csv=text), message)


def test_wrong_json_lines_and_columns(tmp_path):
    write(tmp_path, m_DOT_jsonl='{"path": "a"}\n[1]\n', n_DOT_jsonl="{\n}\n", manifest_DOT_csv=CSV)
    refused(Manifest(file="m.jsonl"), tmp_path, "m.jsonl, line 1: no 'label'")
    refused(Manifest(file="n.jsonl"), tmp_path, "n.jsonl, line 1: no JSON object on one line")
    refused(
        Manifest(columns={"ends": "to"}),
        tmp_path,
        "columns: unknown ends; known: end, label, path, .*; did you mean end",
    )
    refused(Manifest(file="none.csv"), tmp_path, "none.csv does not exist")


def test_listed_paths_are_relative_to_their_folder(tmp_path):
    for written in ("a/b.mp4", "./a/b.mp4", str(tmp_path / "a/b.mp4"), "a\\b.mp4", "a//b.mp4"):
        assert below(tmp_path, written, "list") == "a/b.mp4"
    assert below(tmp_path, "..a/b", "list") == "..a/b"


# Official lists

KINETICS = "label,youtube_id,time_start,time_end,split,is_cc\n"


def test_kinetics(tmp_path):
    train = KINETICS + '"abseiling, fast",-9Xyz_a,3,13,train,0\nzumba,b,0,10.0,train,0\n'
    write(tmp_path, annotations__train_DOT_csv=train, annotations__val_DOT_csv=KINETICS + "zumba,c,20,30,val,0\n")
    assert Kinetics().class_names(tmp_path) == ["abseiling, fast", "zumba"]
    first = "train/abseiling, fast/-9Xyz_a_000003_000013.mp4"
    assert Kinetics().read(tmp_path, "train") == [Video(first, 0), Video("train/zumba/b_000000_000010.mp4", 1)]
    assert Kinetics().read(tmp_path, "test") == [Video("val/zumba/c_000020_000030.mp4", 1)]
    flat = Kinetics(names="{folder}/{youtube_id}.mp4", missing="left_out")
    touch(tmp_path, "videos/zumba/b.mp4")
    assert flat.read(tmp_path, "train") == [Video("zumba/b.mp4", 1)]
    assert flat.passed_over(tmp_path, "train") == ["abseiling,_fast/-9Xyz_a.mp4"]


def test_wrong_lists_of_kinetics(tmp_path):
    write(
        tmp_path, annotations__train_DOT_csv=KINETICS + "zumba,b,x,10,train,0\n", annotations__val_DOT_csv="label,id\n"
    )
    refused(Kinetics(), tmp_path, r"train.csv, line 2: no name of a file by `names`")
    refused(Kinetics(test="none.csv"), tmp_path, "none.csv does not exist", "test")
    write(tmp_path, annotations__train_DOT_csv=KINETICS + "zumba,b,0,10,train,0\n")
    refused(Kinetics(), tmp_path, "val.csv, line 1: no column 'youtube_id'", "test")
    refused(Kinetics(names="{id}.mp4"), tmp_path, "train.csv, line 2: no name of a file by `names`: KeyError")


def test_something_something(tmp_path):
    labels = {"Pushing something": "1", "Holding something": "0"}
    rows = [{"id": "7", "template": "Pushing [something]"}, {"id": "8", "template": "Holding [something]"}]
    write(tmp_path, labels__labels_DOT_json=json.dumps(labels), labels__train_DOT_json=json.dumps(rows))
    write(tmp_path, labels__validation_DOT_json=json.dumps(rows[:1]))
    lists = SomethingSomethingV2()
    assert lists.class_names(tmp_path) == ["Holding something", "Pushing something"]
    assert lists.read(tmp_path, "train") == [Video("7.webm", 1), Video("8.webm", 0)]
    assert SomethingSomethingV2(classes=["Pushing something"]).read(tmp_path, "test") == [Video("7.webm", 0)]
    for text, message in (
        ('[{"id": "7"}]', "entry 1: expected `id` and `template`"),
        ('[{"id": "7", "template": "x"}]', "entry 1: 'x' is not a class of labels.json"),
        ("{}", "expected a JSON list"),
        ("[", "is no JSON file"),
    ):
        refused(lists, write(tmp_path, labels__train_DOT_json=text), f"train.json.*{message}")
    write(tmp_path, labels__labels_DOT_json='{"a": "0", "b": "2"}')
    refused(lists, tmp_path, "labels.json: the numbers of 2 classes have to be 0 to 1")


def test_something_something_of_frames(tmp_path):
    start = "something-something-v1-"
    (tmp_path / f"{start}labels.csv").write_text("Holding something\nPushing something from left to right\n")
    (tmp_path / f"{start}train.csv").write_text("100;Pushing something from left to right\n9;Holding something\n")
    (tmp_path / f"{start}validation.csv").write_text("101;Nothing\n")
    lists = SomethingSomethingV1()
    assert lists.read(tmp_path, "train") == [Video("100", 1), Video("9", 0)]
    refused(lists, tmp_path, "validation.csv, line 1: .* is not a class of", "test")


# UCF101: what its lists may look like


def ucf(root: Path, **lists: str) -> Path:
    texts = {"classInd": "1 riding a bike\n2 wave\n", "trainlist01": "riding a bike/a 1.avi 1\n"} | lists
    return write(root, **{f"ucfTrainTestlist__{name}_DOT_txt": text for name, text in texts.items()})


def test_names_of_classes_with_spaces(tmp_path):
    ucf(tmp_path, testlist01="./wave/b.avi\nriding a bike/c.avi 1\n")
    assert Ucf101().class_names(tmp_path) == ["riding a bike", "wave"]
    assert Ucf101().read(tmp_path, "train") == [Video("riding a bike/a 1.avi", 0)]
    assert Ucf101().read(tmp_path, "test") == [Video("wave/b.avi", 1), Video("riding a bike/c.avi", 0)]


def test_the_numbers_of_classes_are_honored(tmp_path):
    ucf(tmp_path, classInd="2 wave\n1 riding a bike\n")
    assert Ucf101().class_names(tmp_path) == ["riding a bike", "wave"]


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"classInd": "1 a\n2 a\n"}, "classInd.txt, line 2: this class or its number is given twice"),
        ({"classInd": "1 a\n1 b\n"}, "classInd.txt, line 2: this class or its number is given twice"),
        ({"classInd": "0 a\n1 b\n"}, "classInd.txt: the numbers of 2 classes have to be 1 to 2"),
        (
            {"trainlist01": "wave/b.avi 1\n"},
            "trainlist01.txt, line 1: the number is 1, but classInd.txt gives .* 2",
        ),
        ({"trainlist01": "/data/wave/b.avi 1\n"}, "trainlist01.txt, line 1: /data/wave/b.avi is not below"),
    ],
)
def test_contradictions_are_refused(tmp_path, lists, message):
    refused(Ucf101(), ucf(tmp_path, **lists), message)


# Leaks


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            "x,a,train\nx,a,test\ny,a,test\n",
            r"1 video is in the training list and in the test list: x\.",
        ),
        ("x,a,train\nx,a,train\ny,a,test\n", "1 video is more than once in the train list: x"),
        ("x,a,train\ny,a,test\nz,b,train\n", "1 class has no video in the test list: b"),
        ("x,a,train\ny,a,test\nz,b,test\nu,c,test\n", "2 classes have no video in the train list: b, c"),
    ],
)
def test_leaks_are_refused(tmp_path, rows, message):
    write(tmp_path, manifest_DOT_csv="path,label,split\n" + rows)
    with pytest.raises(PipelineError, match=message):
        require_separate(Manifest(), tmp_path, False)


def test_an_overlap_may_be_allowed(tmp_path):
    write(tmp_path, manifest_DOT_csv="path,label,split\nx,a,train\nx,a,test\n")
    require_separate(Manifest(), tmp_path, True)


def test_two_intervals_of_one_video_are_two_clips_of_one_split(tmp_path):
    head = "path,label,split,start,end\n"
    write(tmp_path, manifest_DOT_csv=head + "x,a,train,0,1\nx,a,train,1,2\ny,a,test,0,1\n")
    require_separate(Manifest(), tmp_path, False)
    write(tmp_path, manifest_DOT_csv=head + "x,a,train,0,1\nx,a,test,1,2\n")
    with pytest.raises(PipelineError, match="1 video is in the training list and in the test list: x"):
        require_separate(Manifest(), tmp_path, False)
