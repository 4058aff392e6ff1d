import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from retrieval.plain import plain_ranks
from retrieval.small_models import WORDS, scores, write_data, write_model
from scan_lightning.cli import main
from scan_lightning.retrieval.queries import read_queries
from scan_lightning.retrieval.recall import recall


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A store and two models that differ in rule, width, words and tokeniser."""
    return (
        write_data(tmp_path / "data.h5"),
        write_model(tmp_path / "a.ckpt", seed=1, words=WORDS),
        write_model(
            tmp_path / "b.ckpt",
            seed=2,
            words=WORDS[:7],
            tokenizer="nltk-treebank-lower",
            direction="i2t",
            smoothing=4.0,
            embed_size=12,
            bidirectional=False,
        ),
    )


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["scan-lightning", *words])
    return main()


@pytest.mark.parametrize("weights", [[], [1, 3]])
def test_an_ensemble_ranks_by_the_mean_of_similarities(
    weights: list[int], files: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, a, b = files
    out = tmp_path / "out"
    words = [f"checkpoints=[{a},{b}]", f"data.path={data}", f"run_dir={out}", "split=test"]
    assert run(monkeypatch, "ensemble", *words, *([f"weights={weights}"] if weights else [])) == 0
    (first, gold), (second, _) = scores(a, data), scores(b, data)
    one, two = weights or [1, 1]
    mean = (one * first + two * second) / (one + two)
    results = json.loads((out / "results.json").read_text())
    expected = recall(mean, gold).as_dict()
    assert results["i2t"] == pytest.approx(expected["i2t"])
    assert results["t2i"] == pytest.approx(expected["t2i"])
    assert (results["split"], results["images"], results["captions"]) == ("test", *mean.shape)
    queries = read_queries(out)
    i2t, t2i = plain_ranks(mean.numpy(), gold.numpy())
    np.testing.assert_array_equal(queries.ranks.t2i, t2i)
    np.testing.assert_array_equal(queries.ranks.i2t, list(i2t.values()))
    assert queries.image_ids[0] == "picture6.jpg"
    assert queries.ranks.top is not None
    np.testing.assert_array_equal(queries.ranks.top.t2i[:, 0], mean.argmax(0))
    config = yaml.safe_load((out / "config.yaml").read_text())
    assert config["checkpoints"] == [str(a), str(b)]
    assert json.loads((out / "run.json").read_text())["status"] == "done"


def test_an_ensemble_of_one_is_its_evaluation(
    files: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last bit, intervals and folds included."""
    data, a, _ = files
    common = [f"data.path={data}", "split=test", "folds=4"]
    assert run(monkeypatch, "evaluate", f"checkpoint={a}", *common, f"run_dir={tmp_path / 'one'}") == 0
    assert run(monkeypatch, "ensemble", f"checkpoints=[{a}]", *common, f"run_dir={tmp_path / 'two'}") == 0
    one, two = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("one", "two"))
    assert one == two
    low, high = one["interval"]["t2i"]["r5"]
    assert low <= one["t2i"]["r5"] <= high
    with (tmp_path / "one" / "results.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["t2i/r5"]) == one["t2i"]["r5"]
    assert float(row["interval/t2i/r5/low"]) == low
    (tmp_path / "compare").mkdir()
    assert (
        run(
            monkeypatch, "compare", str(tmp_path / "one"), str(tmp_path / "two"), "--out", str(tmp_path / "c")
        )
        == 0
    )
    assert json.loads((tmp_path / "c" / "compare.json").read_text())["changed_most"] == []


def test_faults_are_named(
    files: tuple[Path, Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data, a, b = files
    content = torch.load(b, weights_only=True)
    content["state_dict"]["model.image_encoder.fc.weight"] = torch.zeros(12, 5)
    content["hyper_parameters"]["model"]["feature_dim"] = 5
    torch.save(content, tmp_path / "narrow.ckpt")
    for words, message in (
        ([f"checkpoints=[{a},{tmp_path / 'none.ckpt'}]"], "there is no file"),
        ([], "checkpoints: missing; give checkpoints=[A.ckpt,B.ckpt]"),
        (["checkpoints=[]"], "checkpoints: the list is empty"),
        ([f"checkpoints=[{a},{b}]", "weights=[1]"], "weights: 1 given for 2 checkpoints"),
        (
            [f"checkpoints=[{a},{b}]", "weights=[1,0]"],
            "weights: found [1, 0]; expected a list, each a number",
        ),
        ([f"checkpoints=[{a},{tmp_path / 'narrow.ckpt'}]"], "takes 5; give the store it was trained on"),
        ([f"checkpoints=[{a},{b}]", "split=val"], "has no split 'val'"),
        ([f"checkpoints=[{a},{b}]", "folds=5"], "folds=5 does not divide the split's 24 images"),
    ):
        out = tmp_path / "out"
        assert run(monkeypatch, "ensemble", *words, f"data.path={data}", f"run_dir={out}") == 2
        assert message in capsys.readouterr().err
        assert not (out / "results.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("devices", [2, 3])
def test_any_number_of_processes_gives_the_same_files(
    devices: int, files: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    data, a, b = files
    for name, words in (
        ("one", ["trainer=cpu"]),
        ("many", ["trainer=ddp_cpu", f"trainer.devices={devices}"]),
    ):
        done = subprocess.run(
            [
                *(sys.executable, "-m", "scan_lightning", "ensemble", f"checkpoints=[{a},{b}]"),
                *(f"data.path={data}", f"run_dir={tmp_path / name}", "folds=2", *words),
            ],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "one" / "results.json").read_text() == (tmp_path / "many" / "results.json").read_text()
    one, many = read_queries(tmp_path / "one").ranks, read_queries(tmp_path / "many").ranks
    np.testing.assert_array_equal(one.t2i, many.t2i)
    assert one.top is not None
    assert many.top is not None
    np.testing.assert_array_equal(one.top.i2t_scores, many.top.i2t_scores)
