"""With averages, early stopping and schedules too, a resumed run is the run that was never stopped."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import lightning.pytorch as pl
import pytest
import torch
from runs import breaking, checkpoint, folder, rows, same_tensors, start
from small import Configure

import scan_lightning as scan
from scan_lightning.config.schema import TrainConfig
from scan_lightning.training.module import ScanModule

DECAY = 0.7
EMA = {"ema": {"_target_": "scan_lightning.training.callbacks.ema.EMA", "decay": DECAY}}
STOPPING = {  # never better than the first validation: the run ends after its third
    "early_stopping": {
        "_target_": "lightning.pytorch.callbacks.EarlyStopping",
        "monitor": "val/rsum",
        "mode": "max",
        "patience": 2,
        "min_delta": 1e6,
    }
}
PLATEAU = {  # halves the rate after every validation but the first
    "_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau",
    "mode": "max",
    "factor": 0.5,
    "patience": 0,
    "threshold": 10.0,
}
COSINE = {
    "_target_": "scan_lightning.training.schedules.CosineDecay",
    "final_factor": 0.1,
    "warmup_steps": 7,
}
Make = Callable[..., TrainConfig]


class CrashError(Exception):
    """Stands for anything that ends a process."""


@contextmanager
def sigterm_in_validation(number: int) -> Iterator[None]:
    """Ask the run to stop while it encodes the first block of its validation `number` (1 is the first)."""
    original, begun = ScanModule.on_validation_epoch_start, [0]

    def on_validation_epoch_start(self: ScanModule) -> None:
        original(self)
        begun[0] += 1
        if begun[0] == number:
            os.kill(os.getpid(), signal.SIGTERM)

    with patch.object(ScanModule, "on_validation_epoch_start", on_validation_epoch_start):
        yield


def assert_same_run(one: TrainConfig, other: TrainConfig) -> None:
    for name in ("last.ckpt", "best.ckpt"):
        first, second = checkpoint(one, name), checkpoint(other, name)
        for key in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "current_model_state"):
            assert same_tensors(first.get(key), second.get(key)), (name, key)
    assert rows(one) == rows(other)
    assert (folder(one) / "results.json").read_text() == (folder(other) / "results.json").read_text()


@pytest.fixture
def make(configure: Configure) -> Make:
    """Return a function that makes a config of three epochs of five steps."""

    def make(run_dir: Path, case: str, **changes: Any) -> TrainConfig:
        epochs: dict[str, Any] = {"trainer": {"max_epochs": 6 if case == "early stopping" else 3}}
        if case == "within epochs":
            epochs["trainer"]["val_check_interval"] = 2
        callbacks = {"ema": EMA, "early stopping": STOPPING}.get(case, {})
        config = configure(run_dir, callbacks=callbacks, **{**epochs, **changes})
        node = {"plateau": PLATEAU, "cosine": COSINE}.get(case)
        if node is not None:
            config.scheduler = {**node, "_partial_": True}
        return config

    return make


CASES = ["ema", "early stopping", "plateau", "cosine", "within epochs"]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("every_steps", [1, pytest.param(0, marks=pytest.mark.slow)])
def test_stopped_at_any_step(make: Make, tmp_path: Path, case: str, every_steps: int) -> None:
    unbroken = make(tmp_path / "unbroken", case)
    start(unbroken)
    assert checkpoint(unbroken)["global_step"] == 15
    broken = make(tmp_path / "broken", case, resume="auto", checkpointing={"every_steps": every_steps})
    for step in (2, 5, 6, 9, 11, 13, 15):  # an epoch has five
        with breaking(step, CrashError()), pytest.raises(CrashError):
            start(broken)
    start(broken)
    assert_same_run(unbroken, broken)


@pytest.mark.parametrize("case", CASES)
def test_stopped_by_sigterm_within_each_validation(make: Make, tmp_path: Path, case: str) -> None:
    """The first part ends in the first validation; each next one repeats that one and ends in its second."""
    unbroken = make(tmp_path / "unbroken", case)
    start(unbroken)
    broken = make(tmp_path / "broken", case, resume="auto")
    for part, step in enumerate((2, 4, 7, 9, 12, 14) if case == "within epochs" else (5, 10, 15)):
        with sigterm_in_validation(1 if part == 0 else 2), pytest.raises(KeyboardInterrupt):
            start(broken)
        assert checkpoint(broken)["global_step"] == step
    start(broken)
    assert_same_run(unbroken, broken)


@pytest.mark.parametrize("case", ["", "ema"])
def test_an_epoch_without_a_validation_is_resumed_too(make: Make, tmp_path: Path, case: str) -> None:
    """The first part ends after an epoch that is not validated."""
    unbroken = make(tmp_path / "unbroken", case, trainer={"max_epochs": 4, "check_val_every_n_epoch": 2})
    start(unbroken)
    for epochs in (1, 3, 4):
        broken = make(
            tmp_path / "broken",
            case,
            resume="auto",
            trainer={"max_epochs": epochs, "check_val_every_n_epoch": 2},
        )
        start(broken)
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "current_model_state"):
        first, second = checkpoint(unbroken).get(key), checkpoint(broken).get(key)
        assert same_tensors(first, second), key
    trained = [[row for row in rows(run) if row["train/loss"]] for run in (unbroken, broken)]
    assert trained[0] == trained[1]


def test_best_checkpoint_holds_the_averages(make: Make, tmp_path: Path) -> None:
    """Against averages made of the weights of a run without them, which learns the same."""
    plain = make(tmp_path / "plain", "", checkpointing={"every_steps": 1, "keep": 99})
    start(plain)
    averaged = make(tmp_path / "averaged", "ema")
    start(averaged)
    assert [row["train/loss"] for row in rows(plain)] == [row["train/loss"] for row in rows(averaged)]
    best = checkpoint(averaged, "best.ckpt")
    average: dict[str, torch.Tensor] = {}
    for step in range(1, best["global_step"] + 1):
        weights = checkpoint(plain, f"step-{step:08d}.ckpt")["state_dict"]
        average = {
            name: DECAY * average.get(name, tensor) + (1 - DECAY) * tensor for name, tensor in weights.items()
        }
    for name, tensor in best["state_dict"].items():
        torch.testing.assert_close(tensor, average[name])
    assert not same_tensors(best["state_dict"], best["current_model_state"])
    model = scan.load(folder(averaged) / "checkpoints" / "best.ckpt")
    weight = best["state_dict"]["model.image_encoder.fc.weight"]
    assert torch.equal(model.network.image_encoder.fc.weight, weight)


def test_the_schedules_are_what_they_say(make: Make, tmp_path: Path) -> None:
    rates = {}
    for case in ("plateau", "cosine"):
        config = make(tmp_path / case, case)
        start(config)
        rates[case] = [float(row["train/lr"]) for row in rows(config) if row["train/loss"]]
    assert rates["plateau"] == pytest.approx([0.01] * 10 + [0.005] * 5)
    warm = [0.01 * step / 8 for step in range(1, 8)]
    falling = [
        0.01 * (0.1 + 0.9 * (1 + torch.cos(torch.tensor(torch.pi * done / 8)).item()) / 2)
        for done in range(8)
    ]
    assert rates["cosine"] == pytest.approx(warm + falling)


def test_compiled_encoders_save_their_weights_under_their_own_names(
    small_store: Path, tmp_path: Path
) -> None:
    """Compiled or not, the run learns the same, and each reads what the other saved."""

    def fit(folder: Path, compiled: bool, epochs: int, resume: Path | None = None) -> tuple[ScanModule, Path]:
        torch.manual_seed(0)
        data = scan.ScanDataModule(str(small_store), batch_size=28, word_threshold=1)
        model = scan.ScanModel(data.feature_dim, data.vocabulary, embed_size=16, word_size=12)
        if compiled:
            for name in ("image_encoder", "text_encoder"):
                setattr(model, name, torch.compile(getattr(model, name), backend="eager"))
        module = ScanModule(model)
        trainer = pl.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=False,
            default_root_dir=folder,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer.fit(module, datamodule=data, ckpt_path=resume)
        return module, Path(trainer.checkpoint_callback.best_model_path)  # type: ignore[union-attr]

    plain, plain_file = fit(tmp_path / "plain", compiled=False, epochs=1)
    _, compiled_file = fit(tmp_path / "compiled", compiled=True, epochs=1)
    states = [torch.load(file, weights_only=True)["state_dict"] for file in (plain_file, compiled_file)]
    assert list(states[0]) == list(plain.state_dict())
    assert same_tensors(*states)
    assert same_tensors(ScanModule.load_from_checkpoint(compiled_file).state_dict(), plain.state_dict())
    again, _ = fit(tmp_path / "again", compiled=True, epochs=2, resume=plain_file)
    other, _ = fit(tmp_path / "other", compiled=False, epochs=2, resume=compiled_file)
    assert same_tensors(again.state_dict(), other.state_dict())
