"""Captions in every form that people have, and the names by which features and captions find each other."""

import json
from pathlib import Path

import numpy as np
import pytest
from store_help import fault_of, run_data

from scan_lightning.data.layouts.caption_files import read_captions
from scan_lightning.data.store import Store

TEXTS = {"a.jpg": ["a dog runs", "two, three cats"], "b.jpg": ["red ball"], "c.jpg": ["blue"]}
ROWS = [(name, index, text) for name, texts in TEXTS.items() for index, text in enumerate(texts)]
Forms = dict[str, tuple[str, str]]


def _json(value: object) -> str:
    return json.dumps(value)


FORMS: Forms = {
    "tokens": ("Flickr8k.token.txt", "".join(f"{name}#{index}\t{text}\n" for name, index, text in ROWS)),
    "kaggle": ("captions.txt", "image,caption\n" + "".join(f"{name},{text}\n" for name, _, text in ROWS)),
    "quoted csv": ("x.csv", "image,caption\r\n" + "".join(f'{name},"{text}"\r\n' for name, _, text in ROWS)),
    "tsv": ("x.tsv", "caption\timage_name\n" + "".join(f"{text}\t{name}\n" for name, _, text in ROWS)),
    "bars": (
        "results.csv",
        "image_name| comment_number| comment\n"
        + "".join(f"{name}| {index}| {text}\n" for name, index, text in ROWS),
    ),
    "coco": (
        "captions_val2014.json",
        _json(
            {
                "images": [{"id": row, "file_name": name} for row, name in enumerate(TEXTS)],
                "annotations": [
                    {"image_id": list(TEXTS).index(name), "id": 9, "caption": text} for name, _, text in ROWS
                ],
            }
        ),
    ),
    "list of strings": ("x.json", _json([{"image": name, "caption": text} for name, _, text in ROWS])),
    "list of lists": ("x.json", _json([{"image": name, "caption": texts} for name, texts in TEXTS.items()])),
    "karpathy's tokens": (
        "y.json",
        _json(
            {
                "images": [
                    {"filename": name, "sentences": [{"tokens": text.split()} for text in texts]}
                    for name, texts in TEXTS.items()
                ]
            }
        ),
    ),
}


@pytest.mark.parametrize("bom", ["", "\ufeff", "\ufeff\n"])
@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_found_by_what_is_in_it(tmp_path: Path, form: str, bom: str) -> None:
    name, text = FORMS[form]
    (tmp_path / name).write_text(bom + text, encoding="utf-8", newline="")
    (tmp_path / "vocab.json").write_text('{"word2idx": {"captions": 3}}')
    (tmp_path / "notes.txt").write_text("nothing, really\n")
    if form == "tokens":
        (tmp_path / "Flickr_8k.trainImages.txt").write_text("a.jpg\n")
        (tmp_path / "Flickr_8k.devImages.txt").write_text("b.jpg\n")
    index = read_captions(tmp_path)
    found = {entry.id: list(entry.captions) for entry in index.with_splits(None).entries}
    assert found == ({**TEXTS} if form != "tokens" else {name: TEXTS[name] for name in ("a.jpg", "b.jpg")})
    splits = [entry.split for entry in index.with_splits(None).entries]
    assert splits == (["train", "val"] if form == "tokens" else ["test"] * 3)
    assert len(index.notes) == (form == "tokens")


def test_several_forms_are_a_choice_and_a_split_column_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("image,caption,split\na.jpg,hello,train\nb.jpg,hi,dev\n")
    assert [entry.split for entry in read_captions(tmp_path).entries] == ["train", "val"]
    (tmp_path / "y.csv").write_text("image,caption\na.jpg,hello\n")
    message = fault_of(lambda: read_captions(tmp_path))
    assert "several caption files (x.csv, y.csv). Choose one with --captions" in message


def test_without_a_split_the_hash_of_the_id_divides(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(_json([{"image": f"{row}.jpg", "caption": "x"} for row in range(1000)]))
    index = read_captions(tmp_path)
    splits = [entry.split for entry in index.with_splits((80, 10, 10)).entries]
    assert 760 < splits.count("train") < 840
    assert 70 < splits.count("val") < 130
    assert splits == [entry.split for entry in index.with_splits((8, 1, 1)).entries]
    assert {entry.split for entry in index.with_splits(None).entries} == {"test"}
    for row in range(4):
        np.savez(tmp_path / f"{row}.npz", features=np.ones((2, 3), np.float32))
    run_data(
        "build", "--layout", "npz-folder", "--root", tmp_path, "--out", tmp_path / "s.h5", "--split", "0/0/1"
    )
    assert Store(tmp_path / "s.h5").splits == {"test": 4}


def _sentences(*raw: object) -> str:
    images = [{"filename": "a.jpg", "split": "test", "sentences": [{"raw": text} for text in raw]}]
    return _json({"images": images})


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (
            "x.json",
            _sentences("fine", None),
            "image 'a.jpg', sentence 1: the caption is null; expected a string",
        ),
        ("x.json", _sentences(3), "image 'a.jpg', sentence 0: the caption is 3"),
        ("x.json", _json([{"image": "a.jpg", "caption": ["x", ["y"]]}]), 'sentence 1: the caption is ["y"]'),
        ("x.json", _json([{"image": None, "caption": "x"}]), "entry 0: image is null; expected a string"),
        (
            "x.json",
            _json([{"image": "a", "caption": "x", "split": 1}]),
            "image 'a': split is 1; expected a string",
        ),
        ("x.json", _json([{"image": "a", "caption": None}]), "image 'a', sentence 0: the caption is null"),
        (
            "x.json",
            _json({"images": [{"split": "test", "sentences": []}]}),
            "entry 0 has no name of the image",
        ),
        ("x.json", _json({"images": ["a.jpg"], "sentences": []}), 'entry 0 is "a.jpg"; expected fields'),
        ("x.json", "[" * 100_000 + '"captions": []', "is not JSON"),
        ("x.csv", "image,caption\na.jpg\n", "line 2 has 1 columns, expected 2: 'image', 'caption'"),
        ("x.csv", f"image,caption\na.jpg,{'x' * 140_000}\n", "line 2: field larger than field limit"),
        ("x.token", "a.jpg#0\thi\nhello\n", "line 2 is 'hello'; expected image#number"),
        (
            "x.json",
            _json([{"image": "a", "caption": "x", "split": "val"}, {"image": "b", "caption": "x"}]),
            "'b' has no split",
        ),
    ],
)
def test_what_is_no_caption_is_named_by_image_and_sentence(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    (tmp_path / name).write_text(text)
    message = fault_of(lambda: read_captions(tmp_path / name))
    assert words in message
    assert "KeyError" not in message


NAMES = [
    "000000391895",
    "391895",
    "COCO_val2014_000000391895",
    "COCO_val2014_000000391895.jpg",
    "val2014/391895.jpg",
]


@pytest.mark.parametrize("captioned", NAMES)
@pytest.mark.parametrize("feature", NAMES)
def test_one_picture_has_many_names_in_every_direction(tmp_path: Path, captioned: str, feature: str) -> None:
    (tmp_path / "test_ids.txt").write_text(f"42\n{captioned}\n")
    (tmp_path / "test_caps.txt").write_text("x\ny\n")
    assert read_captions(tmp_path).match(["7", feature]) == [None, 1]


def _karpathy(path: Path, **changes: object) -> Path:
    images = [
        {
            "filename": f"COCO_val2014_{cocoid:012}.jpg",
            "cocoid": cocoid,
            "imgid": row,
            "split": "test",
            **changes,
        }
        | {"sentences": [{"raw": "x"}]}
        for row, cocoid in enumerate([9, 522418, 0, 300])
    ]
    path.write_text(_json({"images": images}))
    return path


def test_cocoid_and_imgid_are_told_apart_by_all_ids_together(tmp_path: Path) -> None:
    index = read_captions(_karpathy(tmp_path / "x.json"))
    assert index.match(["522418", "000000000009", "300"]) == [1, 0, 3]
    assert index.match(["0", "1", "2", "3"]) == [0, 1, 2, 3]
    assert index.match(["9", "5"]) == [0, None]
    message = fault_of(lambda: index.match(["0"]))  # row 0, or the picture 0 in row 2
    assert "fits several of its images" in message


def test_two_pictures_under_one_alias_stay_an_error(tmp_path: Path) -> None:
    (tmp_path / "test_ids.txt").write_text("COCO_val2014_000000000007.jpg\nCOCO_train2014_000000000007.jpg\n")
    (tmp_path / "test_caps.txt").write_text("x\ny\n")
    index = read_captions(tmp_path)
    assert index.match(["COCO_train2014_000000000007"]) == [1]
    assert "'7' of the features fits several" in fault_of(lambda: index.match(["7"]))
