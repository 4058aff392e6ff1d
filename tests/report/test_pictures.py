"""Training curves, retrieval sheets and the demo's choice of pictures."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from scan_lightning.errors import ScanError
from scan_lightning.report.gallery import Found, attention_gallery, retrieval_gallery, retrieval_sheet
from scan_lightning.report.layout import text_width, wrap
from scan_lightning.report.training_curve import read_curves, running_mean, training_curve
from scan_lightning.retrieval.queries import Queries
from scan_lightning.retrieval.ranks import Ranks, Top

HEADER = "step,epoch,train/loss,train/lr,val/rsum\n"


@pytest.fixture
def metrics(tmp_path):
    path = tmp_path / "metrics.csv"
    rows = [f"{step},0,{100 / step:.3f},0.1,\n" for step in range(1, 21)]
    rows.insert(10, "10,0,,,250.5\n")
    path.write_text(HEADER + "".join(rows) + "20,1,,,301.0\n")
    return path


def test_curve_shows_every_step_and_validation(metrics) -> None:
    curves = read_curves(metrics)
    assert curves.losses[:2] == [(1, 100.0), (2, 50.0)]
    assert len(curves.losses) == 20
    assert curves.recalls == [(10, 250.5), (20, 301.0)]
    above, below = training_curve(metrics).axes
    np.testing.assert_array_equal(above.lines[0].get_xydata(), curves.losses)
    np.testing.assert_array_equal(below.lines[0].get_xydata(), curves.recalls)
    assert below.texts[0].get_text() == "best 301.0"


def test_curve_is_smoothed_apart_where_the_loss_changes(metrics) -> None:
    above, _ = training_curve(metrics, warmup_steps=8).axes
    first, second = (line.get_xydata() for line in above.lines[1:3])
    assert [first[0, 0], first[-1, 0], second[0, 0], second[-1, 0]] == [1, 8, 9, 20]
    assert second[0, 1] == pytest.approx(100 / 9, abs=1e-3)  # the mean begins anew
    assert [text.get_text() for text in above.texts] == ["all negatives", "hardest negatives"]
    assert above.lines[3].get_xdata()[0] == 8.5
    for steps in (0, 20, 99):  # nothing changes within the curve
        above, _ = training_curve(metrics, warmup_steps=steps).axes
        assert len(above.lines) == 2
        assert not above.texts


def test_curve_without_validation_and_with_zero_loss(tmp_path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(HEADER + "1,0,3,,\n2,0,0,,\n3,0,1,,\n")
    FigureCanvasAgg(training_curve(path)).draw()
    assert [step for step, _ in running_mean(read_curves(path).losses)] == [1, 3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        (HEADER, "no training step"),
        ("a,b\n1,2\n", "no training step"),
        (HEADER + "1,0,many,,\n", "damaged"),
    ],
)
def test_a_bad_metrics_file_is_named(tmp_path, text, message) -> None:
    path = tmp_path / "metrics.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ScanError, match=rf"metrics\.csv.*{message}"):
        training_curve(path)


def test_running_mean_of_a_constant_is_it() -> None:
    points = [(step, 7.0) for step in range(30)]
    assert [value for _, value in running_mean(points)] == pytest.approx([7.0] * 30)


def test_sheet_frames_the_right_picture_only() -> None:
    found = [Found(Image.new("RGB", (80 + 40 * n, 100), "white"), 0.9 - n / 10, n == 2) for n in range(5)]
    figure = retrieval_sheet("a dog", found, rank=3, total=1000)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].astype(int)
    green = np.abs(pixels - (0, 158, 115)).sum(axis=2) < 10
    columns = np.flatnonzero(green.sum(axis=0) > 40)
    place = figure.axes[2].get_window_extent()
    assert columns.min() == pytest.approx(place.x0, abs=8)
    assert columns.max() == pytest.approx(place.x1, abs=8)
    texts = {text.get_text() for text in figure.texts}
    assert "the right picture is number 3 of 1,000" in texts
    assert "3   0.70   right" in texts


def test_sheet_says_where_a_missed_picture_is() -> None:
    found = [Found(Image.new("RGB", (50, 300)), 0.5, False)]
    figure = retrieval_sheet("costs $5 or $6 " * 8, found, rank=77, total=200)
    FigureCanvasAgg(figure).draw()
    assert any("number 77 of 200" in text.get_text() for text in figure.texts)
    box = figure.axes[0].get_window_extent()
    assert box.height / box.width == pytest.approx(6, rel=0.02)  # not stretched


def test_wrapping_keeps_every_letter_and_the_width() -> None:
    text = "a short line and " + "w" * 90 + " then $ and & again"
    lines = wrap(text, inches=2.0, points=9)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(text_width(line, 9) <= 2.05 for line in lines)
    assert wrap("", inches=1, points=9) == []


def test_attention_gallery_chooses_by_place_not_by_success(scenes, model, tmp_path) -> None:
    paths = attention_gallery(model, scenes.store, "test", scenes.images, tmp_path, count=2)
    assert [path.name for path in paths] == ["attention_1.png", "attention_2.png"]
    assert all(np.asarray(Image.open(path).convert("L")).std() > 20 for path in paths)


def test_retrieval_gallery_shows_a_hit_a_near_miss_and_a_miss(scenes, tmp_path, monkeypatch) -> None:
    import scan_lightning.report.gallery as module

    store = scenes.store
    ids = [store.image_id(row) for row in store.image_rows("test")]
    count = len(ids)
    gold = np.arange(6)
    ranks = np.array([0, 0, 3, 0, 9, 0])
    order = np.stack(
        [np.roll(np.arange(count), rank - image) for image, rank in zip(gold, ranks, strict=True)]
    )
    scores = np.linspace(1, 0, count)[None].repeat(6, 0)
    top = Top(np.zeros((6, 1), int), np.zeros((6, 1)), order[:, :10], scores[:, :10])
    queries = Queries(
        "test", Ranks(ranks, gold, ranks, gold, gold, count, top=top), ids, [f"query {n}" for n in gold]
    )
    shown = []
    original = module.retrieval_sheet

    def record(sentence, found, *, rank, total):
        shown.append((sentence, rank, [item.right for item in found]))
        return original(sentence, found, rank=rank, total=total)

    monkeypatch.setattr(module, "retrieval_sheet", record)
    paths = retrieval_gallery(queries, scenes.images, tmp_path)
    assert [path.name for path in paths] == ["retrieval_1.png", "retrieval_2.png", "retrieval_3.png"]
    assert shown[0][1:] == (1, [True, False, False, False, False])
    assert shown[1] == ("query 2", 4, [False, False, False, True, False])
    assert shown[2] == ("query 4", 10, [False] * 5)
