"""A command that is refused leaves nothing behind: no run folder, no file, and what was there as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from runs import breaking, checkpoint, folder
from small import write_small

from scan_lightning import cli
from scan_lightning.config.schema import TrainConfig
from scan_lightning.data import cache
from scan_lightning.training import module
from scan_lightning.training.ensemble import EnsembleModule
from scan_lightning.training.module import ScanModule

SMALL = [
    *("data.batch_size=28", "data.word_threshold=1", "model.embed_size=16", "model.word_size=12"),
    *("optimizer.lr=0.01", "scheduler.decay_epoch=1", "trainer=cpu", "trainer.max_epochs=2"),
]
Files = dict[str, Path]


@pytest.fixture(scope="module")
def files(unbroken: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A store and a model that belong together, and some that are wrong in one thing."""
    place = tmp_path_factory.mktemp("files")
    best = folder(unbroken) / "checkpoints" / "best.ckpt"
    content = checkpoint(unbroken, "best.ckpt")
    rows, wide = place / "rows.ckpt", place / "wide.ckpt"
    state = {**content["state_dict"], "model.text_encoder.embed.weight": torch.zeros(3, 12)}
    torch.save({**content, "state_dict": state}, rows)
    state = {**content["state_dict"], "model.image_encoder.fc.weight": torch.zeros(16, 5)}
    parts = content["hyper_parameters"]
    parts = {**parts, "model": {**parts["model"], "feature_dim": 5}}
    torch.save({**content, "state_dict": state, "hyper_parameters": parts}, wide)
    (place / "text.ckpt").write_text("no checkpoint\n")
    return {
        "store": Path(unbroken.data["path"]),
        "no_val": write_small(place / "no_val.h5", sizes={"train": 8, "test": 4}),
        "good": best,
        "last": folder(unbroken) / "checkpoints" / "last.ckpt",
        "rows": rows,
        "wide": wide,
        "text": place / "text.ckpt",
    }


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def never_encoded() -> Iterator[None]:
    """All this is found out before the first item is encoded."""

    def encoded(*arguments: Any) -> None:
        raise AssertionError("something was encoded")

    with (
        patch.object(ScanModule, "validation_step", encoded),
        patch.object(EnsembleModule, "validation_step", encoded),
        patch.object(module, "encode_pairs", encoded),
    ):
        yield


def message(words: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    """Run a command that is refused; its one message."""
    assert cli.main(words) == 2
    errors = capfd.readouterr().err
    assert "Traceback" not in errors
    assert [line for line in errors.splitlines() if line.startswith("error: ")] == errors.splitlines()[:1]
    return errors


REFUSED = {
    "train without val": (["train", *SMALL, "data.path={no_val}"], "has no split 'val'"),
    "train for the wrong checkpoint": (
        ["train", *SMALL, "data.path={store}", "resume={text}"],
        "text.ckpt: is no checkpoint",
    ),
    "train with other settings": (
        ["train", *SMALL, "data.path={store}", "resume={last}", "optimizer.lr=1"],
        "belongs to a run of other settings",
    ),
    "train on another store": (
        ["train", *SMALL, "data.path={no_val}", "resume={last}", "trainer.max_epochs=3"],
        "give the store the run began with",
    ),
    "train from other weights than its model's": (
        ["train", *SMALL, "data.path={store}", "resume={rows}"],
        "text_encoder.embed.weight float32 (3, 12) instead of float32 (",
    ),
    "train on all GPUs of a CPU": (
        ["train", *SMALL, "data.path={store}", "trainer.devices=-1"],
        "trainer.devices",
    ),
    "evaluate no checkpoint": (
        ["evaluate", "checkpoint={text}", "data.path={store}"],
        "text.ckpt: is no checkpoint",
    ),
    "evaluate other rows than words": (
        ["evaluate", "checkpoint={rows}", "data.path={store}"],
        "text_encoder.embed.weight float32 (3, 12) instead of float32 (",
    ),
    "evaluate other features": (
        ["evaluate", "checkpoint={wide}", "data.path={store}"],
        "its features are 16 wide, but",
    ),
    "evaluate a split that is not there": (
        ["evaluate", "checkpoint={good}", "data.path={no_val}", "split=val"],
        "has no split 'val'. It has train (8 images), test (4 images)",
    ),
    "evaluate an unknown split": (
        ["evaluate", "checkpoint={good}", "data.path={store}", "split=dev"],
        "split: found 'dev'; expected one of train, val, test",
    ),
    "evaluate folds that do not divide": (
        ["evaluate", "checkpoint={good}", "data.path={store}", "folds=7"],
        "folds=7 does not divide the split's 12 images",
    ),
    "ensemble with a wrong member": (
        ["ensemble", "checkpoints=[{good},{text}]", "data.path={store}"],
        "text.ckpt: is no checkpoint",
    ),
    "ensemble of other features": (
        ["ensemble", "checkpoints=[{good},{wide}]", "data.path={store}"],
        "its features are 16 wide, but",
    ),
    "ensemble with too few weights": (
        ["ensemble", "checkpoints=[{good},{good}]", "weights=[1]", "data.path={store}"],
        "weights: 1 given for 2 checkpoints",
    ),
    "ensemble on a split that is not there": (
        ["ensemble", "checkpoints=[{good}]", "data.path={no_val}", "split=val"],
        "has no split 'val'",
    ),
    "ensemble with folds that do not divide": (
        ["ensemble", "checkpoints=[{good}]", "data.path={store}", "folds=5"],
        "folds=5 does not divide the split's 12 images",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.fault(
    "`train`, `evaluate` or `ensemble` on what does not fit: no checkpoint, one whose embedding is not that "
    "of its words, a store of another width or without the split, folds that do not divide it, other options",
    "one message, status 2, before anything is encoded; not even an empty folder is left",
)
def test_what_is_refused_leaves_nothing(
    case: str, files: Files, workdir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words, expected = REFUSED[case]
    words = [word.format(**files) for word in words]
    assert expected in message(words, capfd)
    assert expected in message([*words, "run_dir=new/run"], capfd)
    assert list(workdir.iterdir()) == []
    (workdir / "mine" / "run").mkdir(parents=True)
    assert expected in message([*words, "run_dir=mine/run"], capfd)
    assert sorted(workdir.rglob("*")) == [workdir / "mine", workdir / "mine" / "run"]


@pytest.mark.parametrize("logger", ["csv", "tensorboard", "wandb"])
def test_a_training_that_is_refused_while_data_are_loaded_leaves_nothing(
    files: Files,
    workdir: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    logger: str,
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(cache, "available_on", lambda device: 100)
    words = [
        "train",
        *SMALL,
        f"data.path={files['store']}",
        "data.cache=device",
        "trainer.accelerator=auto",
        f"logger={logger}",
        "run_dir=run",
    ]
    assert "data.cache=device" in message(words, capfd)
    assert list(workdir.iterdir()) == []


def test_a_refused_start_leaves_the_record_of_the_run_before(
    unbroken: TrainConfig, workdir: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an earlier part of the run wrote stands, to the last byte."""
    import shutil

    shutil.copytree(folder(unbroken), workdir / "run")
    before = {path: path.read_bytes() for path in (workdir / "run").rglob("*") if path.is_file()}
    monkeypatch.setattr(cache, "available_on", lambda device: 100)
    words = [
        "train",
        *SMALL,
        f"data.path={unbroken.data['path']}",
        "data.cache=device",
        "trainer.accelerator=auto",
        "run_dir=run",
        "resume=auto",
    ]
    assert "data.cache=device" in message([*words, "trainer.max_epochs=3"], capfd)
    assert {path: path.read_bytes() for path in (workdir / "run").rglob("*") if path.is_file()} == before


def test_a_training_that_began_keeps_what_it_had(
    files: Files, workdir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from scan_lightning.errors import ScanError

    words = ["train", *SMALL, f"data.path={files['store']}", "run_dir=run"]
    with breaking(1, ScanError("the first step fails")):
        assert "the first step fails" in message(words, capfd)
    assert {path.name for path in (workdir / "run").iterdir()} == {"config.yaml", "run.json", "metrics.csv"}
    assert json.loads((workdir / "run" / "run.json").read_text())["status"] == "failed"


def test_the_failed_jobs_of_a_sweep_are_listed_and_run_again(
    files: Files, workdir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "-m", f"checkpoint={files['text']},{files['rows']}", f"data.path={files['store']}"]
    words = [*words, "run_dir=sweep", "hydra.sweep.subdir=${hydra.job.num}"]
    for _ in range(2):
        assert cli.main(words) == 2
        out = capfd.readouterr().out
        assert "failed: 0: " in out
        assert "failed: 1: " in out
        rows = json.loads((workdir / "sweep" / "sweep.json").read_text())
        assert [row["status"] for row in rows] == ["failed", "failed"]
        left = {str(path.relative_to(workdir / "sweep")) for path in (workdir / "sweep").rglob("*.*")}
        assert left == {"0/error.txt", "1/error.txt", "sweep.csv", "sweep.json", "multirun.yaml"}


def test_ctrl_c_before_the_first_job_of_a_sweep_leaves_no_empty_folder(
    files: Files, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scan_lightning.commands import evaluate

    def stopped(config: object, run_dir: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate, "execute", stopped)
    words = [f"checkpoint={files['good']}", f"data.path={files['store']}", "folds=1,2", "run_dir=sweep"]
    assert cli.main(["evaluate", "-m", *words]) == 130
    assert [path.name for path in (workdir / "sweep").iterdir()] == ["multirun.yaml"]
    assert cli.main(["evaluate", *words[:2], "run_dir=single"]) == 130
    assert not (workdir / "single").exists()
