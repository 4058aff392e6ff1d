"""The wandb logger alone, offline, read back from wandb's own file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import wandb
from wandb_file import read_all

from scan_lightning.errors import ScanError
from scan_lightning.training.loggers import wandb_run
from scan_lightning.training.loggers.wandb_run import WandbRun


def make(run_dir: Path, **changes: Any) -> WandbRun:
    values: dict[str, Any] = {
        "project": "retrieval",
        "entity": None,
        "name": "first",
        "group": "smoothing-sweep",
        "tags": ["small", "t2i"],
        "config": {"loss": {"margin": 0.2}, "seed": 3},
        "resumed": False,
        "log_checkpoints": False,
    }
    return WandbRun(run_dir, **{**values, **changes})


def test_nothing_is_opened_before_the_first_use(tmp_path: Path) -> None:
    log = make(tmp_path)
    log.finalize("success")
    assert list(tmp_path.iterdir()) == []


def test_offline_run_holds_names_config_rows_and_axes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    log = make(tmp_path / "run")
    log.log_metrics({"train/loss": 4.5, "epoch": 0}, step=1)
    log.log_metrics({"train/loss": 3.5, "epoch": 0}, step=2)
    log.log_metrics({"val/rsum": 120.5, "epoch": 1}, step=2)
    log.finalize("success")
    log.finalize("success")  # a second time is harmless

    (run,) = read_all(tmp_path / "run")
    assert run.id == (tmp_path / "run" / "wandb-id.txt").read_text().strip() == log.version
    assert (run.project, run.name, run.group, run.job_type) == (
        "retrieval",
        "first",
        "smoothing-sweep",
        "train",
    )
    assert run.tags == ["small", "t2i"]
    assert run.config["loss"] == {"margin": 0.2}
    assert run.config["seed"] == 3
    assert run.series("train/loss") == [4.5, 3.5]
    assert run.series("step") == [1, 2]
    assert run.series("val/rsum") == [120.5]
    assert (run.axes["train/*"], run.axes["val/*"], run.axes["panel/*"]) == ("step", "epoch", "epoch")
    assert run.exit_code == 0
    assert wandb.run is None

    printed = capfd.readouterr()
    (part,) = (tmp_path / "run" / "wandb").glob("offline-run-*")
    assert f"wandb sync {part}" in printed.out
    assert "WARNING" not in printed.err
    assert "ERROR" not in printed.err
    assert not recwarn.list


def test_resumed_run_keeps_its_id_and_one_command_uploads_both_parts(tmp_path: Path) -> None:
    for resumed, steps in ((False, (1, 2)), (True, (3, 4))):
        log = make(tmp_path, resumed=resumed)
        for step in steps:
            log.log_metrics({"train/loss": 1.0}, step=step)
        log.finalize("success")
    first, second = read_all(tmp_path)
    assert first.id == second.id
    assert first.series("_step") + second.series("_step") == [1, 2, 3, 4]
    command = log.upload_command().split()
    assert command[:2] == ["wandb", "sync"]
    assert command[2:] == sorted(str(path) for path in (tmp_path / "wandb").glob("offline-run-*"))
    assert len(command) == 4
    dry = subprocess.run(
        [sys.executable, "-m", *command, "--dry-run"], capture_output=True, text=True, check=True
    )
    assert "Would sync 2 run(s)" in dry.stdout + dry.stderr


def test_fresh_run_in_a_used_folder_is_another_run(tmp_path: Path) -> None:
    ids = []
    for _ in range(2):
        log = make(tmp_path)
        log.log_metrics({"train/loss": 1.0}, step=1)
        log.finalize("success")
        ids.append(log.version)
    assert ids[0] != ids[1]


def test_failure_is_recorded_and_the_run_closed(tmp_path: Path) -> None:
    log = make(tmp_path)
    log.log_metrics({"train/loss": 1.0}, step=1)
    log.finalize("failed")
    (run,) = read_all(tmp_path)
    assert run.exit_code == 1
    assert wandb.run is None


@pytest.mark.parametrize("asked", [True, False])
def test_checkpoints_become_an_artifact_when_asked(tmp_path: Path, asked: bool) -> None:
    for name in ("best", "last"):
        (tmp_path / f"{name}.ckpt").write_bytes(name.encode())
    log = make(tmp_path, log_checkpoints=asked)
    log.log_metrics({"train/loss": 1.0}, step=1)
    best, last = str(tmp_path / "best.ckpt"), str(tmp_path / "last.ckpt")
    for key, *values in (("best", best, "", torch.tensor(240.5)), ("last", "", last, None)):
        names = ("best_model_path", "last_model_path", "best_model_score")
        callback = SimpleNamespace(state_key=key, **dict(zip(names, values, strict=True)))
        log.after_save_checkpoint(callback)  # type: ignore[arg-type]
    log.finalize("success")
    (run,) = read_all(tmp_path)
    expected = {f"model-{run.id}": ["best.ckpt", "last.ckpt"]} if asked else {}
    assert {name: sorted(files) for name, files in run.artifacts.items()} == expected


def test_credentials_are_looked_for_where_wandb_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert wandb_run._mode() == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    assert wandb_run._mode() is None
    monkeypatch.delenv("WANDB_API_KEY")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine api.wandb.ai login user password " + "x" * 40 + "\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert wandb_run._mode() is None
    netrc.write_text("machine example.org login user password secret\n")
    assert wandb_run._mode() == "offline"
    monkeypatch.setenv("WANDB_MODE", "online")  # the user's own word is not overruled
    assert wandb_run._mode() is None


def test_a_run_that_cannot_be_opened_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise wandb.errors.UsageError("no API key configured")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(ScanError, match=r"no API key.*wandb login.*WANDB_MODE=offline"):
        make(tmp_path).log_metrics({"train/loss": 1.0}, step=1)
