"""From checkpoint, store and sentence to a picture, by Python and by command."""

import shutil

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from scan_lightning.cli import main
from scan_lightning.data.store import Store
from scan_lightning.data.writer import ImageRecord, write_store
from scan_lightning.errors import ScanError
from scan_lightning.model.checkpoint import load
from scan_lightning.report.explanation import draw_attention, explain, file_stem
from scan_lightning.report.pictures import find_picture
from scan_lightning.similarity import Attention, attend

SENTENCE = "a red circle left of a small star"


@pytest.mark.parametrize("direction", ["t2i", "i2t"])
def test_explains_with_the_weights_of_the_rule(scenes, checkpoint, direction) -> None:
    model = load(checkpoint(direction))
    row = int(scenes.store.image_rows("test")[2])
    explained = explain(model, scenes.store, row, SENTENCE)

    features, (count,) = scenes.store.read_regions(np.array([row]))
    with torch.no_grad():
        regions = model.network.encode_images(
            torch.from_numpy(features.astype(np.float32)), torch.tensor([count])
        )
        ids = torch.tensor([model.network.text_encoder.tokenize([SENTENCE])[0]])
        words, _ = model.network.encode_captions(ids, torch.tensor([ids.shape[1]]))
        rule = Attention(direction, aggregation="mean")
        weights, relevance = attend(regions[0], words[0], rule)
    expected = weights.numpy() if direction == "t2i" else weights.numpy().T
    assert explained.words == SENTENCE.split()
    np.testing.assert_allclose(explained.weights, expected[1:-1], atol=1e-6)  # no start and end
    expected_r = relevance.numpy()[1:-1] if direction == "t2i" else relevance.numpy()
    np.testing.assert_allclose(explained.relevance, expected_r, atol=1e-6)
    np.testing.assert_array_equal(explained.boxes, scenes.store.boxes(row))
    assert explained.size == scenes.store.image_size(row)
    assert explained.score == pytest.approx(float(relevance.mean()), abs=1e-5)


def test_a_region_with_nan_is_named(scenes, checkpoint, tmp_path, capsys) -> None:
    path, row = tmp_path / "spoilt.h5", int(scenes.store.image_rows("test")[1])
    shutil.copy(scenes.path, path)
    with h5py.File(path, "r+") as file:
        file["region/features"][int(file["region/offsets"][row]) + 2, 5] = np.nan
    words = ["attention", str(checkpoint()), "--data", str(path), "--image", "scene-test-00001.png"]
    assert main([*words, "--sentence", SENTENCE, "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert f"{path}: image 'scene-test-00001.png' has NaN or infinity in region 2" in told
    assert "`scan-lightning data check` lists" in told
    assert not (tmp_path / "out").exists()


def test_command_writes_pdf_and_png(scenes, checkpoint, tmp_path, capsys) -> None:
    arguments = [
        *("attention", str(checkpoint()), "--data", str(scenes.path), "--image", "scene-test-00001.png"),
        *("--sentence", SENTENCE, "--out", str(tmp_path / "new" / "folder")),
    ]
    assert main(arguments) == 0
    printed = capsys.readouterr().out.split()
    stem = "scene-test-00001_a-red-circle-left-of-a-small-star"
    assert printed == [str(tmp_path / "new" / "folder" / f"{stem}.{kind}") for kind in ("pdf", "png")]
    blank = np.asarray(Image.open(printed[1]).convert("RGB")).astype(int)
    assert main([*arguments, "--images", str(scenes.images)]) == 0
    drawn = np.asarray(Image.open(printed[1]).convert("RGB")).astype(int)
    assert drawn.shape == blank.shape
    assert np.abs(drawn - blank).mean() > 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--image": "scene-test-0001.png"}, "no image 'scene-test-0001.png'.*[Dd]id you mean"),
        ({"--images": "nowhere"}, "nowhere: has no picture"),
        ({"--data": "nothing.h5"}, "nothing.h5"),
        ({"--sentence": "  "}, "has no word"),
        ({"CHECKPOINT": "nothing.ckpt"}, "nothing.ckpt"),
    ],
)
def test_faults_are_named(scenes, checkpoint, tmp_path, capsys, change, message) -> None:
    options = {
        "CHECKPOINT": str(checkpoint()),
        "--data": str(scenes.path),
        "--image": "scene-test-00001.png",
        "--sentence": SENTENCE,
        "--out": str(tmp_path / "out"),
    } | change
    first = options.pop("CHECKPOINT")
    words = [word for pair in options.items() for word in pair]
    assert main(["attention", first, *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    import re

    assert re.search(message, error), error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_a_folder_that_takes_no_picture_is_a_users_fault(scenes, checkpoint, tmp_path, capsys) -> None:
    stem = "scene-test-00001_a-red-circle-left-of-a-small-star"
    (tmp_path / "out" / f"{stem}.pdf").mkdir(parents=True)  # in the way
    status = main(
        [
            *("attention", str(checkpoint()), "--data", str(scenes.path), "--image", "scene-test-00001.png"),
            *("--sentence", SENTENCE, "--out", str(tmp_path / "out")),
        ]
    )
    assert status == 2
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"{stem}.pdf"]
    assert f"{stem}.pdf: is a folder; give the name of a file." in capsys.readouterr().err


def test_another_feature_width_is_refused(scenes, checkpoint) -> None:
    model = load(checkpoint(feature_dim=9))
    with pytest.raises(ScanError, match=r"are 227 wide, but the model takes 9"):
        explain(model, scenes.store, 0, SENTENCE)


def test_words_the_model_does_not_know_are_said(scenes, checkpoint) -> None:
    model = load(checkpoint())
    with pytest.warns(UserWarning, match="does not know 'zebra'"):
        draw_attention(model, scenes.store, 0, "a red zebra")


def _store(path, size, boxes) -> Store:
    features = np.ones((2, 4), dtype=np.float32)
    record = ImageRecord("1", "test", *size, features, boxes, ["a dog"])
    write_store(path, [record], source="t", feature_dim=4, images=1, regions=2, progress=False)
    return Store(path)


def test_unknown_boxes_are_refused_and_unknown_size_is_taken_from_the_picture(checkpoint, tmp_path) -> None:
    model = load(checkpoint(feature_dim=4))
    with pytest.raises(ScanError, match="knows no boxes"):
        draw_attention(model, _store(tmp_path / "a.h5", (30, 20), None), 0, "a circle")

    boxes = np.float32([[0, 0, 10, 10], [5, 5, 20, 15]])
    store = _store(tmp_path / "b.h5", (0, 0), boxes)
    assert explain(model, store, 0, "a circle").size == (20, 15)
    Image.new("RGB", (60, 40)).save(tmp_path / "1.png")
    figure = draw_attention(model, store, 0, "a circle", images_dir=tmp_path)
    assert figure.axes[0].get_xlim() == (0, 60)


def test_a_picture_of_other_proportions_is_refused(checkpoint, tmp_path) -> None:
    model = load(checkpoint(feature_dim=4))
    store = _store(tmp_path / "b.h5", (40, 20), np.float32([[0, 0, 10, 10], [5, 5, 20, 15]]))
    Image.new("RGB", (40, 40)).save(tmp_path / "1.jpg")
    with pytest.raises(ScanError, match=r"1\.jpg: is 40 x 40 pixels, but .* 40 x 20"):
        draw_attention(model, store, 0, "a circle", images_dir=tmp_path)
    (tmp_path / "1.jpg").write_text("no picture")
    with pytest.raises(ScanError, match="cannot be read as a picture"):
        draw_attention(model, store, 0, "a circle", images_dir=tmp_path)


def test_pictures_are_found_by_id_inside_their_folder_only(tmp_path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("12.jpg", "34", "56.png", "../outside.jpg"):
        (folder / name).write_bytes(b"")
    assert find_picture(folder, "12") == folder / "12.jpg"
    assert find_picture(folder, "12.jpg") == folder / "12.jpg"
    assert find_picture(folder, "34") == folder / "34"
    assert find_picture(folder, "56") == folder / "56.png"
    assert find_picture(folder, "78") is None
    assert find_picture(folder, "../outside") is None


def test_file_names_are_plain() -> None:
    assert file_stem("a/b c.jpg", "Ein Hund, 2 Katzen & €!") == "b-c_ein-hund-2-katzen"
    assert file_stem("7", "???") == "7_sentence"
    assert len(file_stem("7", "word " * 100)) < 80
