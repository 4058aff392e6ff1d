"""What the terminal shows: bars on one, plain lines elsewhere, results only with --quiet."""

from __future__ import annotations

import io
import re
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scan_lightning import cli
from scan_lightning import progress as job_progress
from scan_lightning.quiet import VARIABLE, quiet
from scan_lightning.training.callbacks import training_progress
from scan_lightning.training.module import ScanModule

Train = Callable[..., int]


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def evaluate(monkeypatch: pytest.MonkeyPatch, store: Path, run_dir: Path, *words: str) -> int:
    command = ["evaluate", f"checkpoint={run_dir}/checkpoints/best.ckpt", f"data.path={store}", "split=val"]
    command += [f"run_dir={run_dir}/evaluation", *words]
    monkeypatch.setattr(sys, "argv", ["scan-lightning", *command])
    return cli.main(command)


def test_without_a_terminal_there_are_plain_lines_and_a_table(
    tmp_path: Path, train: Train, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training_progress, "PLAIN_EVERY", 0.0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        assert train(f"run_dir={tmp_path}/run") == 0
    printed = capfd.readouterr()
    lines = printed.err.splitlines()
    assert "\x1b" not in printed.err + printed.out
    line = r"epoch 2 of 2: step 3 of 4, \S+ steps/(s|min), loss \d+\.\d\d, \d+ s left in the epoch"
    assert any(re.fullmatch(line, found) for found in lines)
    assert sum("on val" in found for found in lines) == 2
    assert "image to text" in printed.out
    assert f"{tmp_path}/run" in printed.out
    assert not [str(warning.message) for warning in caught]


def test_quiet_leaves_the_results_alone(
    tmp_path: Path,
    tiny_store: Path,
    train: Train,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert train("--quiet", f"run_dir={tmp_path}/run") == 0
    printed = capfd.readouterr()
    assert printed.err == ""
    assert "image to text" in printed.out
    assert evaluate(monkeypatch, tiny_store, tmp_path / "run", "--quiet") == 0
    printed = capfd.readouterr()
    assert printed.err == ""
    assert "image to text" in printed.out
    assert not quiet()  # the next command of this process is asked anew

    assert evaluate(monkeypatch, tiny_store, tmp_path / "run") == 0
    lines = capfd.readouterr().err.splitlines()
    assert any(re.match(r"encoding: 2 of 2 blocks, [\d,.]+ blocks/s, 0 s left", line) for line in lines)
    assert any(re.match(r"ranking: 128 of 128 pairs", line) for line in lines)


def test_quiet_with_wandb_leaves_the_command_to_upload(
    tmp_path: Path, train: Train, capfd: pytest.CaptureFixture[str]
) -> None:
    assert train("--quiet", "logger=wandb", "trainer.max_steps=1", f"run_dir={tmp_path}/run") == 0
    printed = capfd.readouterr()
    assert printed.err == ""
    assert "wandb sync" in printed.out


def test_terminal_shows_rate_time_left_loss_and_rsum(
    tmp_path: Path, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "160")
    step = ScanModule.training_step

    def slowly(*arguments: Any) -> Any:
        time.sleep(0.25)  # the bar is drawn ten times a second
        return step(*arguments)

    monkeypatch.setattr(ScanModule, "training_step", slowly)
    assert train(f"run_dir={tmp_path}/run") == 0
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    bar = r"Epoch 1/1 +━\S* [123]/4 \d:\S\S:\S\S • [-\d]:\S\S:\S\S [\d.]+it/s "
    bar += r"train/loss: \d+\.\d+ val/rsum: \d+\.\d"
    assert re.search(bar, shown), shown[-2000:]


def test_the_variable_of_the_environment_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "1")
    assert quiet()
    with job_progress.progress("building", 3) as advance:
        advance(3)
    monkeypatch.setenv(VARIABLE, "0")
    assert not quiet()
