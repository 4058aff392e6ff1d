"""The command line with the real training, on a store that a run learns from in a second."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scan_lightning.data.writer import ImageRecord, write_store

SMALL = [
    *("trainer.max_epochs=1", "model.embed_size=8", "model.word_size=8", "data.batch_size=8"),
    *("data.word_threshold=1",),
]
RUN_FILES = {"config.yaml", "run.json", "metrics.csv", "results.json", "checkpoints"}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # many processes start, each importing torch


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "small.h5"
    rng = np.random.default_rng(0)
    records = [
        ImageRecord(
            id=f"{split}{row}",
            split=split,
            width=0,
            height=0,
            features=rng.normal(size=(4, 6)).astype(np.float32),
            boxes=None,
            captions=[f"picture {row} of {split}", f"again {row}"],
        )
        for split, count in (("train", 12), ("val", 300))  # val: several blocks, so that each process has one
        for row in range(count)
    ]
    write_store(path, records, source="small", feature_dim=6, images=312, regions=1248, progress=False)
    return path


def scan(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scan_lightning", *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


def rows(sweep: Path) -> list[dict[str, str]]:
    with (sweep / "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_four_trainings_skipped_when_done_side_by_side_the_same(store: Path, tmp_path: Path) -> None:
    words = ["train", "-m", f"data.path={store}", "trainer=cpu", *SMALL]
    words += ["attention=t2i_mean,i2t_mean", "attention.smoothing=4,9"]
    done = scan(tmp_path, *words, "run_dir=one")
    assert done.returncode == 0, done.stderr
    table = rows(tmp_path / "one")
    assert len(table) == 4
    for row in table:
        folder = tmp_path / "one" / row["job"]
        assert {path.name for path in folder.iterdir()} >= RUN_FILES
        results = json.loads((folder / "results.json").read_text())
        assert float(row["rsum"]) == results["rsum"]
        assert (folder / "checkpoints" / "best.ckpt").exists()
    assert done.stdout.count("rsum") >= 1

    again = scan(tmp_path, *words, "run_dir=one")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("finished before, skipped") == 4
    assert rows(tmp_path / "one") == table

    parallel = scan(tmp_path, *words, "run_dir=two", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert parallel.returncode == 0, parallel.stderr
    assert rows(tmp_path / "two") == table


def test_two_processes_start_from_the_command_and_make_one_run(store: Path, tmp_path: Path) -> None:
    """Lightning repeats the command line for the second process, which must find the same folder."""
    words = ["train", f"data.path={store}", *SMALL, "trainer=ddp_cpu"]
    for folder, given in (("run", ["run_dir=run"]), ("outputs", [])):
        done = scan(tmp_path, *words, *given)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / folder).is_dir()
    assert {path.name for path in tmp_path.iterdir()} == {"run", "outputs"}
    (default,) = (tmp_path / "outputs" / "train").iterdir()
    for run in (tmp_path / "run", default):
        assert {path.name for path in run.iterdir()} >= RUN_FILES


def test_a_stopped_sweep_goes_on(store: Path, tmp_path: Path) -> None:
    """A job with a checkpoint but without results continues, and ends as if it had never stopped."""
    words = ["train", "-m", f"data.path={store}", "trainer=cpu", *SMALL, "attention=t2i_mean,i2t_mean"]
    done = scan(tmp_path, *words, "run_dir=sweep")
    assert done.returncode == 0, done.stderr
    table = rows(tmp_path / "sweep")
    (tmp_path / "sweep" / "attention-i2t_mean" / "results.json").unlink()
    done = scan(tmp_path, *words, "run_dir=sweep")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("finished before, skipped") == 1
    assert rows(tmp_path / "sweep") == table
