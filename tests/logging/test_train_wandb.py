"""A small training through the console command with logger=wandb, read back from wandb's own file."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wandb
import yaml
from PIL import Image
from tiny_runs import TINY
from wandb_file import OfflineRun, read_all

from scan_lightning.report.hardest import COLUMNS

Train = Callable[..., int]
PANELS = [f"panel/attention/{number}" for number in range(4)]


def rows(run_dir: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run_dir / "metrics.csv").open()))


def column(run_dir: Path, name: str) -> list[float]:
    return [float(row[name]) for row in rows(run_dir) if row[name]]


def media(run_dir: Path, path: str) -> Path:
    (file,) = (run_dir / "wandb").glob(f"offline-run-*/files/{path}")
    return file


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return {"folder": tmp_path_factory.mktemp("finished") / "first"}


@pytest.fixture
def run_dir(finished: dict[str, Any], train: Train, capfd: pytest.CaptureFixture[str]) -> Path:
    """Train once for all tests of this file (the command needs function-scoped fixtures)."""
    folder: Path = finished["folder"]
    if "printed" not in finished:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            words = [
                "callbacks.panels.every_epochs=2",
                "logger.wandb.tags=[a,b]",
                "logger.wandb.log_checkpoints=true",
            ]
            assert train("logger=wandb", *words, "trainer.max_epochs=3", f"run_dir={folder}") == 0
        finished["printed"], finished["warned"] = capfd.readouterr(), caught
    return folder


@pytest.fixture
def logged(run_dir: Path) -> OfflineRun:
    (run,) = read_all(run_dir)
    return run


def test_every_series_of_metrics_csv_is_there(run_dir: Path, logged: OfflineRun) -> None:
    for name in rows(run_dir)[0]:
        if name not in ("step", "epoch"):
            assert logged.series(name) == pytest.approx(column(run_dir, name)), name
    assert logged.series("step") == logged.series("_step") == list(range(1, 13))
    assert {row["epoch"] for row in logged.rows} == {0, 1, 2}
    assert len(logged.series("val/rsum")) == 3
    assert all(speed > 0 for speed in logged.series("train/pairs_per_second"))
    assert all(0.05 < memory < 100 for memory in logged.series("train/memory_gib"))
    assert (logged.axes["train/*"], logged.axes["val/*"]) == ("step", "epoch")


def test_config_name_tags_and_best_are_there(run_dir: Path, logged: OfflineRun) -> None:
    config = yaml.safe_load((run_dir / "config.yaml").read_text())
    assert {name: logged.config[name] for name in config} == config
    assert (logged.name, logged.group, logged.job_type, logged.tags) == ("first", "", "train", ["a", "b"])
    results = json.loads((run_dir / "results.json").read_text())
    assert logged.summary["best/rsum"] == pytest.approx(results["rsum"])
    assert logged.exit_code == 0
    assert wandb.run is None


def test_panels_come_every_second_epoch_and_after_the_last(run_dir: Path, logged: OfflineRun) -> None:
    shown = [row for row in logged.rows if "panel/hardest" in row]
    assert [row["epoch"] for row in shown] == [1, 2]
    for row in shown:
        pictures = [row[name] for name in PANELS]
        assert all(": " in picture["caption"] for picture in pictures)
        assert len({picture["caption"] for picture in pictures}) == 4
        for picture in pictures:
            with Image.open(media(run_dir, picture["path"])) as image:
                assert min(image.size) > 100
                assert len(image.convert("RGB").getcolors(1 << 24)) > 50
        table = json.loads(media(run_dir, row["panel/hardest"]["path"]).read_text())
        assert table["columns"] == list(COLUMNS)
        assert len(table["data"]) == 8 + 16
    i2t = [line for line in table["data"] if line[0] == "i2t"]
    assert sum(line[2] for line in i2t) / 8 == pytest.approx(logged.series("val/i2t/meanr")[-1])


def test_checkpoints_are_an_artifact(logged: OfflineRun) -> None:
    assert sorted(logged.artifacts[f"model-{logged.id}"]) == ["best.ckpt", "last.ckpt"]


def test_the_terminal_is_left_clean(run_dir: Path, finished: dict[str, Any]) -> None:
    assert not [str(warning.message) for warning in finished["warned"]]
    printed = finished["printed"]
    assert "WARNING" not in printed.err
    assert "anonymous" not in printed.err + printed.out
    (part,) = (run_dir / "wandb").glob("offline-run-*")
    assert f"wandb sync {part}\n" in printed.out


def test_nothing_is_written_elsewhere(tmp_path: Path, train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert train("logger=wandb", "trainer.max_steps=1", f"run_dir={tmp_path}/run") == 0
    assert list((tmp_path / "here").iterdir()) == []


def test_panels_change_nothing_that_is_learnt(run_dir: Path, tmp_path: Path, train: Train) -> None:
    assert train("trainer.max_epochs=3", f"run_dir={tmp_path}/plain") == 0
    assert column(tmp_path / "plain", "train/loss") == column(run_dir, "train/loss")
    assert column(tmp_path / "plain", "val/rsum") == column(run_dir, "val/rsum")


def test_resumed_run_goes_on_in_the_same_wandb_run(tmp_path: Path, train: Train) -> None:
    words = ["logger=wandb", f"run_dir={tmp_path}/run"]
    assert train(*words, "trainer.max_epochs=1") == 0
    assert train(*words, "trainer.max_epochs=2", "resume=auto") == 0
    first, second = read_all(tmp_path / "run")
    assert first.id == second.id
    assert first.series("step") + second.series("step") == list(range(1, 9))
    assert first.series("val/rsum") + second.series("val/rsum") == column(tmp_path / "run", "val/rsum")


def test_jobs_of_a_sweep_share_its_name(tmp_path: Path, train: Train) -> None:
    words = ["-m", "logger=wandb", "trainer.max_steps=1", "attention.smoothing=4,9"]
    assert train(*words, f"run_dir={tmp_path}/temperatures") == 0
    jobs = [path.parent for path in sorted((tmp_path / "temperatures").glob("*/results.json"))]
    runs = [read_all(job)[0] for job in jobs]
    assert [run.group for run in runs] == ["temperatures"] * 2
    assert [run.config["attention"]["smoothing"] for run in runs] == [4.0, 9.0]
    assert [run.name for run in runs] == [job.name for job in jobs]
    assert runs[0].id != runs[1].id


def test_an_earlier_versions_key_is_told_the_new_one(train: Train, capfd: pytest.CaptureFixture[str]) -> None:
    assert train("logger=wandb", "logger.project=scenes", "callbacks.panels=5") == 2
    message = capfd.readouterr().err
    assert "logger.project: there is no such key; " in message
    assert "logger.wandb.project" in message
    assert "callbacks.panels: found 5; expected a node with _target_" in message


def test_failed_run_is_closed_as_failed(
    tmp_path: Path, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scan_lightning.training.module import ScanModule

    step = ScanModule.training_step

    def fail(self: ScanModule, batch: Any, batch_idx: int) -> Any:
        if self.global_step == 2:
            raise RuntimeError("out of luck")
        return step(self, batch, batch_idx)

    monkeypatch.setattr(ScanModule, "training_step", fail)
    assert train("logger=wandb", f"run_dir={tmp_path}/run") == 1
    (run,) = read_all(tmp_path / "run")
    assert run.exit_code == 1
    assert run.series("step") == [1, 2]
    assert wandb.run is None


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "ddp_fork"])
def test_several_processes_are_one_wandb_run(tmp_path: Path, tiny_store: Path, strategy: str) -> None:
    run_dir = tmp_path / "run"
    words = ["trainer=ddp_cpu", "trainer.devices=2", f"trainer.strategy={strategy}", "logger=wandb"]
    command = [sys.executable, "-m", "scan_lightning", "train", f"data.path={tiny_store}", *TINY, *words]
    done = subprocess.run([*command, f"run_dir={run_dir}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (run,) = read_all(run_dir)
    assert run.exit_code == 0
    assert run.series("step") == list(range(1, 9))
    assert run.series("train/loss") == pytest.approx(column(run_dir, "train/loss"))
    assert [row["epoch"] for row in run.rows if "panel/hardest" in row] == [1]
    assert done.stdout.count("wandb sync") == 1
