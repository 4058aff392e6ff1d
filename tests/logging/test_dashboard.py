"""The wandb workspace: its JSON as recorded, its series as logged, and what the command says."""

from __future__ import annotations

import importlib
import importlib.util
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scan_lightning import cli
from scan_lightning.config.compose import compose_config
from scan_lightning.config.nodes import known_keys
from scan_lightning.config.schema import TrainConfig, plain
from scan_lightning.report import workspace
from scan_lightning.training.loggers.metrics_csv import COLUMNS

GOLDEN = Path(__file__).parent / "workspace.json"
COMMAND = ["dashboard", "--entity", "team", "--project", "flickr30k"]


def test_dry_run_prints_the_recorded_workspace(capsys: pytest.CaptureFixture[str]) -> None:
    """After a wanted change record it: `scan-lightning dashboard ... --dry-run > workspace.json`."""
    assert cli.main([*COMMAND, "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(GOLDEN.read_text())


def sections() -> dict[str, list[dict[str, Any]]]:
    content = workspace.workspace_json("team", "flickr30k")
    found = content["spec"]["section"]["panelBankConfig"]["sections"]
    return {section["name"]: section["panels"] for section in found}


def test_sections_are_those_promised() -> None:
    found = sections()
    assert list(found) == ["Recall", "Training", "Attention", "Sweep", "System"]
    kinds = [panel["viewType"] for panel in found["Sweep"]]
    assert kinds == ["Parallel Coordinates Plot", "Parameter Importance"]
    ids = [panel["__id__"] for panels in found.values() for panel in panels]
    assert len(set(ids)) == len(ids)


def test_panels_show_series_that_are_logged() -> None:
    found = sections()
    drawn = {
        name
        for part in ("Recall", "Training")
        for panel in found[part]
        for name in panel["config"]["metrics"]
    }
    counts = {"step", "epoch", "val/images", "val/captions"}
    assert drawn - {"best/rsum"} == set(COLUMNS) - counts


def test_sweep_columns_are_keys_of_the_configuration() -> None:
    columns = sections()["Sweep"][0]["config"]["columns"]
    # wandb keeps `attention: {smoothing: 9}` under attention.value.smoothing
    keys = [column["accessor"].removeprefix("config:").replace(".value", "") for column in columns[:-1]]
    config = compose_config(TrainConfig, "config", ["data.path=scenes.h5"])
    assert set(keys) <= set(known_keys(TrainConfig, plain(config)))
    assert {"attention.direction", "attention.smoothing", "attention.raw_norm"} <= set(keys)
    assert columns[-1]["accessor"] == "summary:best/rsum"


def test_missing_package_is_one_message_with_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        workspace, "find_spec", lambda name: None if name == "wandb_workspaces" else real(name)
    )
    assert cli.main([*COMMAND, "--dry-run"]) == 2
    assert "pip install 'scan-lightning[workspaces]'" in capsys.readouterr().err


def test_refusal_by_wandb_is_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(self: Any) -> None:
        raise ConnectionError("not logged in")

    workspaces = importlib.import_module("wandb_workspaces.workspaces")
    monkeypatch.setattr(workspaces.Workspace, "save", refuse)
    assert cli.main(COMMAND) == 2
    error = capsys.readouterr().err
    assert "team/flickr30k" in error
    assert "wandb login" in error
    assert "Traceback" not in error


def test_a_reader_that_has_enough_is_no_fault() -> None:
    """As `scan-lightning dashboard ... --dry-run | head -1`: the pipe holds less than the page."""
    command = [sys.executable, "-m", "scan_lightning", *COMMAND, "--dry-run"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        complaint = process.stderr.read().decode()
    assert (process.returncode, complaint) == (128 + signal.SIGPIPE, "")
