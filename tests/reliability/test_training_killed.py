"""A training that is killed or told to stop at any moment goes on to the very same weights."""

from __future__ import annotations

import io
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from children import DONE, INTERRUPTED, in_child, status_of, wait_for
from runs import breaking, checkpoint, folder, rows, same_tensors, start
from small import Configure

from scan_lightning.config.schema import TrainConfig
from scan_lightning.training.callbacks import checkpoints


def assert_same_run(one: TrainConfig, other: TrainConfig) -> None:
    """Weights, Adam's state and the logged curve, bit for bit."""
    for name in ("last.ckpt", "best.ckpt"):
        first, second = checkpoint(one, name), checkpoint(other, name)
        assert first["global_step"] == second["global_step"], name
        assert same_tensors(first["state_dict"], second["state_dict"]), name
        assert same_tensors(first["optimizer_states"], second["optimizer_states"]), name
    assert rows(one) == rows(other)
    assert (folder(one) / "results.json").read_text() == (folder(other) / "results.json").read_text()


def loads(config: TrainConfig) -> int:
    """The step of last.ckpt, which must be complete whenever it is there."""
    return (
        int(checkpoint(config)["global_step"]) if (folder(config) / "checkpoints/last.ckpt").exists() else 0
    )


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.fault(
    "SIGKILL at 20 random moments of a training, with 0 and with 2 workers",
    "`last.ckpt` is complete and never older than before; the resumed run ends with the weights, Adam's "
    "state and the metrics.csv of the unbroken run, bit for bit",
)
def test_sigkill_at_random_moments_of_training(
    configure: Configure, unbroken: TrainConfig, tmp_path: Path, workers: int
) -> None:
    config = configure(
        tmp_path / "run", data={"workers": workers}, checkpointing={"every_steps": 1, "keep": 2}
    )
    begin = time.monotonic()
    assert status_of(in_child(lambda: start(config))) == DONE
    whole = time.monotonic() - begin
    shutil.rmtree(folder(config))
    generator = random.Random(workers)
    killed = step = 0
    while killed < 10:  # of each number of workers
        child = in_child(lambda: start(config))
        time.sleep(generator.uniform(0, 0.8 * whole))
        os.kill(child, signal.SIGKILL)
        killed += status_of(child) == -signal.SIGKILL
        now = loads(config)
        assert now >= step
        step = now
        if (folder(config) / "results.json").exists():  # faster than the kill
            assert_same_run(unbroken, config)
            shutil.rmtree(folder(config))
            step = 0
    assert status_of(in_child(lambda: start(config))) == DONE
    assert_same_run(unbroken, config)
    assert len(list((folder(config) / "checkpoints").glob("step-*.ckpt"))) == 2
    assert not list(folder(config).rglob("*.partial"))


def half_of_save(number: int) -> Any:
    """Kill the process when half of the bytes of its save `number` are written."""
    original, done = torch.save, [0]

    def save(content: object, file: Any) -> None:
        done[0] += 1
        if done[0] < number:
            return original(content, file)
        buffer = io.BytesIO()
        original(content, buffer)
        file.write(buffer.getvalue()[: buffer.tell() // 2])
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    return patch.object(torch, "save", save)


def between_names_of_save(number: int) -> Any:
    """Kill the process when its save `number` has its first name and not yet the second."""
    original, done = checkpoints.link_file, [0]

    def link_file(source: Path, target: Path) -> None:
        done[0] += 1
        if done[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        original(source, target)

    return patch.object(checkpoints, "link_file", link_file)


@pytest.mark.parametrize("breakage", [half_of_save, between_names_of_save])
@pytest.mark.fault(
    "SIGKILL in the midst of writing a checkpoint, and between its names",
    "the checkpoint before is complete; the resumed run is the unbroken one, bit for bit",
)
def test_sigkill_while_a_checkpoint_is_written(
    configure: Configure, unbroken: TrainConfig, tmp_path: Path, breakage: Callable[[int], Any]
) -> None:
    config = configure(tmp_path / "run", checkpointing={"every_steps": 2, "keep": 2})
    steps = []
    for number in (1, 2, 3):

        def run(number: int = number) -> None:
            with breakage(number):
                start(config)

        assert status_of(in_child(run)) == -signal.SIGKILL
        steps.append(loads(config))
    assert steps == sorted(steps)
    assert steps[-1] > 0
    assert status_of(in_child(lambda: start(config))) == DONE
    assert_same_run(unbroken, config)
    assert not list(folder(config).rglob("*.partial"))


def when_step(config: TrainConfig, step: int) -> Callable[[], bool]:
    """Whether a running training has come to a step."""
    path = folder(config) / "metrics.csv"

    def come() -> bool:
        lines = path.read_text().splitlines() if path.exists() else []
        # The first column is the step; validations have lines, too, and the last line may be half there.
        return any(line.split(",")[0] == str(step) for line in lines[1:-1])

    return come


@pytest.mark.parametrize(("number", "step", "workers"), [(15, 3, 0), (15, 7, 2), (2, 4, 0)])
@pytest.mark.fault(
    "SIGTERM or Ctrl-C during a training",
    "the step is finished and saved, status 130; the resumed run is the unbroken one, bit for bit",
)
def test_a_signal_saves_and_ends(
    configure: Configure, unbroken: TrainConfig, tmp_path: Path, number: int, step: int, workers: int
) -> None:
    config = configure(tmp_path / "run", data={"workers": workers})
    log = tmp_path / "log"
    child = in_child(lambda: slowly(config), log)
    wait_for(when_step(config, step))
    os.kill(child, number)
    assert status_of(child) == INTERRUPTED, log.read_text()
    stopped = loads(config)
    assert stopped >= step
    assert f"stopped at step {stopped}, saved at step {stopped}" in log.read_text()
    assert "resume=auto" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert status_of(in_child(lambda: start(config))) == DONE
    assert_same_run(unbroken, config)


def slowly(config: TrainConfig) -> None:
    """Train with a pause before each step, so that signals meet the run where the test wants them."""
    from scan_lightning.training.module import ScanModule

    original = ScanModule.training_step

    def training_step(self: ScanModule, batch: Any, batch_idx: int) -> Any:
        time.sleep(0.1)
        return original(self, batch, batch_idx)

    with patch.object(ScanModule, "training_step", training_step):
        start(config)


@pytest.mark.fault(
    "Slurm's SIGUSR1 before the time limit of a job",
    "saved as after SIGTERM, then the job is put back into the queue once",
)
def test_slurms_signal_requeues_the_job(
    configure: Configure, unbroken: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a stand-in for `scontrol` that notes how it was called."""
    tool, calls = tmp_path / "bin" / "scontrol", tmp_path / "calls"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setenv("SLURM_JOB_NAME", "interactive")  # or Lightning takes the job for its own launcher
    config = configure(tmp_path / "run")
    child = in_child(lambda: slowly(config), tmp_path / "log")
    wait_for(when_step(config, 4))
    os.kill(child, signal.SIGUSR1)
    assert status_of(child) == INTERRUPTED, (tmp_path / "log").read_text()
    assert calls.read_text() == "requeue 4711\n"
    assert loads(config) >= 4
    monkeypatch.undo()
    assert status_of(in_child(lambda: start(config))) == DONE
    assert_same_run(unbroken, config)


def test_an_error_in_the_program_keeps_what_was_saved(
    configure: Configure, unbroken: TrainConfig, tmp_path: Path
) -> None:
    config = configure(tmp_path / "run", checkpointing={"every_steps": 2})
    with breaking(8, ZeroDivisionError()), pytest.raises(ZeroDivisionError):
        start(config)
    assert loads(config) == 6
    start(config)
    assert_same_run(unbroken, config)
