"""What the report makes of runs' folders, apart from how it looks."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from report.run_folders import write_evaluation, write_training
from scan_lightning.cli import main
from scan_lightning.data.store import Store
from scan_lightning.data.writer import ImageRecord, write_store
from scan_lightning.errors import ScanError
from scan_lightning.model.checkpoint import load
from scan_lightning.report.explorer import explorer_data
from scan_lightning.report.hardest import query_tables
from scan_lightning.report.page_data import BUCKETS, shares, thinned
from scan_lightning.report.page_file import report_page
from scan_lightning.report.paper_row import paper_row
from scan_lightning.report.rank_model import rank_model
from scan_lightning.report.runs import one_each, read_runs, swept_keys
from scan_lightning.retrieval.queries import Queries
from scan_lightning.retrieval.ranks import Ranks, Top


@pytest.fixture
def sweep(tmp_path, checkpoint, scenes):
    folder = tmp_path / "sweep"
    for direction in ("t2i", "i2t"):
        for smoothing in (4.0, 20.0):
            write_training(
                folder / f"direction-{direction}__smoothing-{smoothing:g}",
                checkpoint(direction),
                scenes.path,
                rsum=100 + smoothing + 10 * (direction == "i2t"),
                attention__direction=direction,
                attention__smoothing=smoothing,
                run_dir=f"somewhere/{direction}{smoothing}",
            )
    return folder


def embedded(page: str) -> dict:
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.S).group(1))


def test_a_sweep_s_folder_stands_for_its_runs(sweep) -> None:
    runs = read_runs([sweep])
    assert [run.name for run in runs] == [
        f"direction-{direction}__smoothing-{smoothing}"
        for direction in ("i2t", "t2i")
        for smoothing in (4, 20)
    ]
    assert swept_keys(runs) == ["attention.direction", "attention.smoothing"]
    assert [point[1] for point in runs[0].curves.recalls][-1] == pytest.approx(runs[0].results["rsum"])
    assert len(read_runs([sweep, sweep / runs[0].name])) == 4  # none twice
    fewer = {key: value for key, value in runs[0].settings.items() if not key.startswith("loss.")}
    older = replace(runs[0], settings=fewer)  # of a version with fewer keys
    assert swept_keys([older, *runs[1:]]) == ["attention.direction", "attention.smoothing"]
    longer = replace(runs[0], settings={**runs[0].settings, "trainer.max_epochs": 60, "trainer.devices": 4})
    assert swept_keys([longer, *runs[1:]])[2:] == ["trainer.max_epochs"]


def test_the_sweep_compares_runs_on_the_same_queries_only(sweep, tmp_path, checkpoint, scenes) -> None:
    training = write_training(tmp_path / "longer", checkpoint(), scenes.path, trainer__max_epochs=60)
    tested = write_evaluation(tmp_path / "tested", training / "checkpoints" / "best.ckpt", scenes.path)
    data = embedded(report_page(read_runs([sweep, training, tested]), pictures=1))
    assert data["sweptKeys"] == ["attention.direction", "attention.smoothing"]
    compared = {run["name"] for run in data["runs"] if "swept" in run}
    assert compared == {folder.name for folder in sweep.iterdir()}


def test_an_evaluation_knows_the_training_of_its_checkpoint(tmp_path, checkpoint, scenes) -> None:
    training = write_training(tmp_path / "train", checkpoint(), scenes.path)
    evaluation = write_evaluation(tmp_path / "test", training / "checkpoints" / "best.ckpt", scenes.path)
    both = read_runs([training, evaluation])
    assert both[1].settings == both[0].settings
    assert both[1].curves == both[0].curves
    assert [run.name for run in both] == [f"{tmp_path.name}/train", f"{tmp_path.name}/test"]
    assert one_each(both, evaluated=True) == [both[1]]
    assert one_each(both, evaluated=False) == [both[0]]


def test_moved_runs_are_found_again(tmp_path, checkpoint, scenes) -> None:
    home = tmp_path / "there"
    shutil.copytree(scenes.path.parent, home / "data")
    training = write_training(home / "outputs" / "run", checkpoint(), scenes.path)
    record = json.loads((training / "run.json").read_text())
    record["data"]["path"] = "data/scenes.h5"  # as seen from the folder it was started in
    (training / "run.json").write_text(json.dumps(record))
    (run,) = read_runs([training])
    assert run.store == home / "data" / "scenes.h5"


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda folder: None, "there is no such folder"),
        (lambda folder: folder.mkdir(), r"is no run: there is no run\.json"),
        (lambda folder: (folder.mkdir(), (folder / "run.json").write_text("{")), r"run\.json: is damaged"),
        (
            lambda folder: (
                folder.mkdir(),
                (folder / "run.json").write_text("{}"),
                (folder / "ranks.npz").write_bytes(b"PK"),
            ),
            r"ranks\.npz.*damaged",
        ),
    ],
)
def test_bad_folders_are_named(tmp_path, prepare, message, capsys) -> None:
    prepare(tmp_path / "run")
    assert main(["report", str(tmp_path / "run"), "--out", str(tmp_path / "r.html")]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert "Traceback" not in error
    assert not (tmp_path / "r.html").exists()


def test_other_faults_are_named(sweep, tmp_path, capsys) -> None:
    for options, message in (
        (["--out", "r.html", "--images", str(tmp_path / "none")], "there is no such folder"),
        (["--out", "r.html", "--pictures", "0"], "expected at least 1"),
    ):
        assert main(["report", str(sweep), *options]) == 2
        assert message in capsys.readouterr().err


def test_missing_model_leaves_the_rest_of_the_page(sweep, scenes) -> None:
    for checkpoint in sweep.rglob("best.ckpt"):
        checkpoint.unlink()
    with pytest.warns(UserWarning, match="no attention explorer"):
        page = report_page(read_runs([sweep]))
    data = embedded(page)
    assert "explorer" not in data
    assert len(data["runs"]) == 4
    assert 'id="curves"' in page
    assert 'id="explorer"' not in page


def test_ranks_of_the_report_are_those_of_an_evaluation(scenes, checkpoint) -> None:
    """Against the plain way: the whole similarity matrix, sorted."""
    model = load(checkpoint())
    queries = rank_model(model, scenes.store, "test")
    rows = scenes.store.image_rows("test")
    features, counts = scenes.store.read_regions(rows)
    scores = np.stack(
        [
            model.similarity(one[None, :count].astype(np.float32), queries.captions)[0].numpy()
            for one, count in zip(features, counts, strict=True)
        ]
    )
    gold = np.repeat(np.arange(len(rows)), 5)
    for caption in range(scores.shape[1]):
        wrong = np.delete(scores[:, caption], gold[caption])
        assert queries.ranks.t2i[caption] == (wrong >= scores[gold[caption], caption] - 1e-7).sum()
        assert queries.ranks.top.t2i[caption, 0] == scores[:, caption].argmax()


def test_explorer_holds_weights_of_right_and_hardest_wrong_sentences(scenes, checkpoint) -> None:
    for direction in ("t2i", "i2t"):
        model = load(checkpoint(direction))
        queries = rank_model(model, scenes.store, "test")
        data = explorer_data(model, scenes.store, queries, [0, 5, *range(6, 14)], scenes.images)
        assert data["direction"] == direction
        assert json.loads(json.dumps(data)) == data
        for picture in data["pictures"]:
            texts = [sentence["text"] for sentence in picture["sentences"]]
            assert len(set(texts)) == len(texts) == 8  # five of its own, three of others
        picture = data["pictures"][1]
        assert picture["source"].startswith("data:image/jpeg;base64,")
        own = {
            caption
            for caption, image in zip(queries.captions, queries.ranks.t2i_images, strict=True)
            if image == 5
        }
        assert {sentence["text"] for sentence in picture["sentences"] if sentence["right"]} == own
        wrong = [sentence for sentence in picture["sentences"] if not sentence["right"]]
        row = scenes.store.find_image(picture["id"])
        (features,), _ = scenes.store.read_regions(np.array([row]))
        scores = model.similarity(features[None].astype(np.float32), queries.captions)[0].numpy()
        hardest = max(
            (score, text) for score, text in zip(scores, queries.captions, strict=True) if text not in own
        )
        assert wrong[0]["text"] == hardest[1]
        assert wrong[0]["score"] == pytest.approx(hardest[0], abs=1e-4)
        for sentence in picture["sentences"]:
            weights = np.array(sentence["weights"])
            assert weights.shape == (len(sentence["words"]), len(picture["boxes"]))
            if direction == "t2i":
                np.testing.assert_allclose(weights.sum(axis=1), 1, atol=0.02)
            else:  # start and end took the rest
                assert (weights.sum(axis=0) < 1).all()
            assert weights.max() <= picture["heat"] + 1e-9
            queries_of = sentence["words"] if direction == "t2i" else picture["boxes"]
            assert len(sentence["relevance"]) == len(queries_of)


def test_regions_of_unknown_place_become_a_grid(tmp_path, checkpoint, scenes) -> None:
    features = np.random.default_rng(0).standard_normal((7, scenes.store.feature_dim)).astype(np.float32)
    records = [
        ImageRecord(f"{n}", "test", 0, 0, features + n, None, ["a red circle", "a star"]) for n in (1, 2)
    ]
    path = tmp_path / "s.h5"
    dim = scenes.store.feature_dim
    write_store(path, records, source="t", feature_dim=dim, images=2, regions=14, progress=False)
    model, store = load(checkpoint()), Store(path)
    (picture,) = explorer_data(model, store, rank_model(model, store, "test"), [1], None)["pictures"]
    assert not picture["placed"]
    boxes = np.array(picture["boxes"])
    assert len(np.unique(boxes[:, :2], axis=0)) == 7
    assert boxes.max() <= max(picture["width"], picture["height"])


def test_shares_of_ranks_by_hand() -> None:
    ranks = np.array([0, 0, 1, 4, 5, 9, 10, 19, 20, 99, 100, 5000])
    counts = [2, 2, 2, 2, 1, 1, 2]
    assert shares(ranks) == pytest.approx([100 * count / 12 for count in counts], abs=0.01)
    assert len(counts) == len(BUCKETS)


def test_long_series_are_thinned_without_losing_their_mean() -> None:
    points = [(step, float(step % 7)) for step in range(1, 10001)]
    thin = thinned(points)
    assert len(thin) == 400
    assert np.mean([value for _, value in thin]) == pytest.approx(
        np.mean([value for _, value in points]), abs=0.01
    )
    assert thinned(points[:3]) == [[1, 1.0], [2, 2.0], [3, 3.0]]


def _run(tmp_path, checkpoint, scenes, **changes):
    folder = write_training(tmp_path / "run", checkpoint(), scenes.path, **changes)
    results = json.loads((folder / "results.json").read_text()) | {"split": "test", "images": 1000}
    (folder / "results.json").write_text(json.dumps(results))
    record = json.loads((folder / "run.json").read_text())
    record["data"]["source"] = "f30k_precomp"
    (folder / "run.json").write_text(json.dumps(record))
    return folder


@pytest.mark.parametrize(
    ("changes", "r1"),
    [
        ({"attention__direction": "i2t", "attention__aggregation": "lse"}, 67.7),
        ({"attention__direction": "t2i", "attention__aggregation": "mean"}, 61.8),
        ({"attention__direction": "i2t", "attention__rule": "summax"}, 56.7),
        ({"attention__direction": "i2t", "loss__negatives": "all"}, 45.8),
        ({"attention__direction": "t2i", "attention__aggregation": "max"}, None),
    ],
)
def test_the_paper_s_row_is_found_by_data_and_rule(tmp_path, checkpoint, scenes, changes, r1) -> None:
    folder = _run(tmp_path, checkpoint, scenes, **changes)
    row = paper_row(read_runs([folder])[0])
    assert (row.recalls.i2t[0] if row else None) == r1
    if r1:
        assert f"<td>{r1}</td>" in report_page(read_runs([folder]), pictures=1)


def test_there_is_no_paper_row_for_other_data_or_splits(tmp_path, checkpoint, scenes) -> None:
    folder = _run(tmp_path, checkpoint, scenes)
    for file, key, value in (("run.json", "data", "flickr8k.h5"), ("results.json", "split", "val")):
        other = tmp_path / key
        shutil.copytree(folder, other)
        content = json.loads((other / file).read_text()) | {key: value}
        (other / file).write_text(json.dumps(content))
        assert paper_row(read_runs([other])[0]) is None


def test_query_tables_show_worst_and_best() -> None:
    captions = [f"caption <{n}>" for n in range(8)]
    gold = np.repeat(np.arange(4), 2)
    ranks_t2i = np.array([0, 3, 0, 1, 2, 0, 0, 0])
    t2i = np.stack([np.roll(np.arange(4), rank - image) for rank, image in zip(ranks_t2i, gold, strict=True)])
    gaps = np.array([0.1, 0, 0.5, 0, 0, 0.2, 0.3, 0.4])
    scores = np.stack([np.array([1.0, 1 - gap, 0, 0]) for gap in gaps])
    i2t = np.array([[0, 1, 2], [4, 2, 3], [4, 5, 0], [6, 7, 0]])
    top = Top(i2t, np.tile([0.9, 0.5, 0.1], (4, 1)), t2i, scores)
    ranks = Ranks(np.array([0, 1, 0, 0]), np.arange(4), ranks_t2i, gold, np.arange(8), 4, top=top)
    tables = dict(query_tables(Queries("test", ranks, list("abcd"), captions), lambda image: f"[{image}]"))
    assert tables["Worst, text to image"][:2] == [
        ("t2i", "caption <1>", 4, ["[0]"], "[1]", 1.0),
        ("t2i", "caption <4>", 3, ["[2]"], "[0]", 1.0),
    ]
    assert [row.query[-2] for row in tables["Best, text to image"]] == ["2", "7", "6", "5", "0"]
    first = tables["Worst, image to text"][0]
    assert first == ("i2t", "[1]", 2, ["caption <2>", "caption <3>"], "caption <4>", 0.9)


HOSTILE = "</script><script>alert(1)</script>"


def test_hostile_text_stays_text(tmp_path, checkpoint, scenes) -> None:
    training = write_training(tmp_path / "<b>run&", checkpoint(), scenes.path)
    record = json.loads((training / "run.json").read_text()) | {"hardware": HOSTILE}
    (training / "run.json").write_text(json.dumps(record))
    page = report_page(read_runs([training]), pictures=1)
    assert "<b>run" not in page.partition('id="data"')[0]
    assert "&lt;b&gt;run" in page
    assert "wbr&gt;" not in page
    assert "alert(1)</script>" not in page
    assert page.count("</script>") == 2
    assert embedded(page)["runs"][0]["name"] == "<b>run&"


def test_a_store_of_another_width_is_refused(tmp_path, checkpoint, scenes) -> None:
    training = write_training(tmp_path / "run", checkpoint(feature_dim=5), scenes.path)
    with pytest.raises(ScanError, match=r"are 227 wide, but .* takes 5"):
        report_page(read_runs([training]))


def test_images_whose_pictures_are_there_are_explained(tmp_path, checkpoint, scenes) -> None:
    training = write_training(tmp_path / "run", checkpoint(), scenes.path)
    ids = [scenes.store.image_id(row) for row in scenes.store.image_rows("test")]
    (tmp_path / "images").mkdir()
    for name in ids[-2:]:
        shutil.copy(scenes.images / name, tmp_path / "images")
    page = report_page(read_runs([training]), images_dir=tmp_path / "images", pictures=2)
    assert [picture["id"] for picture in embedded(page)["explorer"]["pictures"]] == ids[-2:]
    page = report_page(read_runs([training]), images_dir=tmp_path, pictures=2)  # none of them
    assert len(embedded(page)["explorer"]["pictures"]) == 2
