"""A run that diverges or collapses is named within an epoch, and what was saved before stays good."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
import torch
from runs import checkpoint, folder, rows, same_tensors, start
from small import Configure

from scan_lightning import cli
from scan_lightning.errors import ScanError, ScanWarning
from scan_lightning.training.callbacks.nan_monitor import NaNMonitor
from scan_lightning.training.loss import TripletLoss
from scan_lightning.training.module import ScanModule

PAIRS = 28  # of a whole batch; an epoch is four of them and one of 8
MARGIN = 0.2


@contextmanager
def losses(change: Any) -> Iterator[None]:
    """Let `change(step, batch, output)` alter what a step gives; 1 is the first step."""
    original = ScanModule.training_step

    def training_step(self: ScanModule, batch: Any, batch_idx: int) -> Any:
        return change(self.global_step + 1, len(batch), original(self, batch, batch_idx))

    with patch.object(ScanModule, "training_step", training_step):
        yield


def loss_is_nan_from(first: int) -> Any:
    def change(step: int, pairs: int, output: dict[str, Any]) -> dict[str, Any]:
        if step >= first:
            return {
                **output,
                "loss": output["loss"] * math.nan,
                "train/loss": output["train/loss"] * math.nan,
            }
        return output

    return change


def gradient_is_nan_from(first: int) -> Any:
    """The loss is finite, its gradient is not."""

    def change(step: int, pairs: int, output: dict[str, Any]) -> dict[str, Any]:
        if step < first:
            return output
        loss = output["loss"]
        return {**output, "loss": loss + (loss.sum() * 0).sqrt()}  # the root's gradient at zero: 0 x infinity

    return change


def collapsed(value: Any, noise: float = 0.0) -> Any:
    """The loss of a step is `value(pairs)`, within some relative noise."""

    def change(step: int, pairs: int, output: dict[str, Any]) -> dict[str, Any]:
        return {**output, "train/loss": torch.tensor(value(pairs) * (1 + noise * (-1) ** step))}

    return change


@pytest.mark.parametrize(
    ("change", "what"),
    [(loss_is_nan_from, "the loss was nan"), (gradient_is_nan_from, "the norm of the gradient was nan")],
)
@pytest.mark.parametrize(("every_steps", "first", "saved"), [(1, 7, 6), (0, 5, None), (2, 10, 8)])
@pytest.mark.fault(
    "a loss or a gradient that becomes NaN",
    "one message with advice, status 2; no such state is saved, the last good checkpoint stays",
)
def test_nan_ends_the_run_and_the_last_good_checkpoint_stays(
    configure: Configure, change: Any, what: str, every_steps: int, first: int, saved: int | None
) -> None:
    config = configure(checkpointing={"every_steps": every_steps})
    with losses(change(first)), pytest.raises(ScanError) as caught:
        start(config)
    message = str(caught.value)
    assert f"{what} at step {first}" in message
    assert "optimizer.lr=0.01: training has diverged" in message
    assert "optimizer.lr=0.001" in message
    assert "loss.warmup_steps=" in message
    last = folder(config) / "checkpoints" / "last.ckpt"
    if saved is None:
        assert "nothing was saved before" in message
        assert not last.exists()
    else:
        assert f"the state of step {saved} is complete in {last}" in message
        content = checkpoint(config)
        assert content["global_step"] == saved
        assert all(tensor.isfinite().all() for tensor in content["state_dict"].values())
    assert rows(config)[-1]["step"] == str(first)  # what happened is on record


@pytest.mark.parametrize("change", [loss_is_nan_from, gradient_is_nan_from])
def test_nan_at_the_first_step_sends_to_the_data(configure: Configure, change: Any) -> None:
    """No step was taken yet, so advice about the rate would lead astray."""
    config = configure(checkpointing={"every_steps": 1})
    with losses(change(1)), pytest.raises(ScanError) as caught:
        start(config)
    message = str(caught.value)
    assert message.startswith(f"{config.data['path']}: the ")
    assert "was nan at step 1, before anything was learnt" in message
    assert f"First of all, `scan-lightning data check {config.data['path']}`" in message
    assert "optimizer.lr" not in message
    assert not (folder(config) / "checkpoints").exists()


@pytest.mark.parametrize(("every_steps", "first", "saved"), [(2, 3, 2), (0, 2, None), (0, 7, 5)])
def test_where_looks_are_rare_nothing_bad_is_saved_or_validated(
    configure: Configure, every_steps: int, first: int, saved: int | None
) -> None:
    """As on a GPU: the steps wait, and are looked at before a save and before a validation."""
    config = configure(checkpointing={"every_steps": every_steps})
    original = NaNMonitor.on_train_start

    def rarely(self: NaNMonitor, *arguments: Any) -> None:
        original(self, *arguments)
        self._look_every = 50

    with (
        patch.object(NaNMonitor, "on_train_start", rarely),
        losses(loss_is_nan_from(first)),
        pytest.raises(ScanError, match=f"the loss was nan at step {first}; "),
    ):
        start(config)
    last = folder(config) / "checkpoints" / "last.ckpt"
    assert (checkpoint(config)["global_step"] if last.exists() else None) == saved


def test_a_real_divergence_ends_the_command_with_status_2(
    configure: Configure, capfd: pytest.CaptureFixture[str]
) -> None:
    config = configure()
    words = [
        f"data.path={config.data['path']}",
        "data.batch_size=28",
        "data.word_threshold=1",
        "model.embed_size=16",
        "optimizer.lr=1e30",
        "trainer=cpu",
        "trainer.max_epochs=3",
        "model.normalize_regions=false",
        "model.normalize_words=false",
        f"run_dir={config.run_dir}",
    ]
    assert cli.main(["--quiet", "train", *words]) == 2
    errors = capfd.readouterr().err.splitlines()
    assert [line for line in errors if "diverged" in line] == errors[-1:]
    assert not any("Traceback" in line for line in errors)


def hardest(pairs: int) -> float:
    return 2 * pairs * MARGIN


def every(pairs: int) -> float:
    return 2 * pairs * (pairs - 1) * MARGIN


@pytest.mark.parametrize(
    ("settings", "value", "formula"),
    [
        ({}, hardest, "2 x batch x margin (3.2 for 8 pairs)"),
        ({"negatives": "all"}, every, "2 x batch x (batch - 1) x margin (22.4 for 8 pairs)"),
        ({"warmup_steps": 100}, every, "2 x batch x (batch - 1) x margin (22.4 for 8 pairs)"),
    ],
)
@pytest.mark.fault(
    "a loss that stays at 2 x batch x margin, its value when all similarities are equal",
    "one hint with advice within an epoch; the run goes on",
)
def test_a_collapse_is_named_once_after_an_epoch_and_not_ended(
    configure: Configure, settings: dict[str, Any], value: Any, formula: str
) -> None:
    """The last batch of an epoch is smaller: its own value counts."""
    with losses(collapsed(value, noise=0.005)), pytest.warns(ScanWarning) as caught:
        start(configure(loss=settings, trainer={"max_epochs": 3}))
    (message,) = [str(warning.message) for warning in caught if warning.category is ScanWarning]
    assert message.startswith(f"step 5: the loss has stayed at {formula} over 5 steps")
    assert ("loss.warmup_steps=5" in message) == (not settings)
    assert "optimizer.lr=0.005" in message


def test_a_resumed_run_does_not_say_it_again(configure: Configure) -> None:
    with losses(collapsed(hardest)):
        with pytest.warns(ScanWarning, match="step 5"):
            start(configure(trainer={"max_epochs": 1}))
        with warnings.catch_warnings():
            warnings.simplefilter("error", ScanWarning)
            start(configure(trainer={"max_epochs": 3}, resume="auto"))


@pytest.mark.parametrize("value", [every, lambda pairs: 1.03 * hardest(pairs), lambda pairs: 2 * 28 * MARGIN])
def test_other_losses_are_no_collapse(configure: Configure, value: Any) -> None:
    """The value of the other negatives, 3 percent above, and one that ignores the smaller last batch."""
    with losses(collapsed(value)), warnings.catch_warnings():
        warnings.simplefilter("error", ScanWarning)
        start(configure())


@pytest.mark.parametrize(("near", "named"), [(0.68, False), (0.95, True)])
def test_a_healthy_rest_is_not_named(near: float, named: bool) -> None:
    """On Flickr8K 68 percent of an epoch's steps were within 1 percent before the loss fell."""
    monitor = NaNMonitor()
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    values = {"world_size": 1, "is_global_zero": True, "optimizers": [optimizer]}
    values |= {"num_training_batches": 200, "estimated_stepping_batches": 2000}
    trainer, module = type("Trainer", (), values)(), type("Module", (), {"loss": TripletLoss()})()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for step in range(200):
            loss = hardest(PAIRS) * (1.0 if step % 100 < 100 * near else 0.985)
            monitor._waiting = [(step, torch.tensor([loss, 28.0, 1.0]))]
            monitor._look(trainer, module)
    assert len(caught) == named


def test_a_run_that_was_watched_is_the_same_run(configure: Configure, tmp_path: Any) -> None:
    one, other = configure(tmp_path / "one"), configure(tmp_path / "other")
    start(one)
    with patch.object(NaNMonitor, "_look", lambda self, trainer, module: None):
        start(other)
    assert same_tensors(checkpoint(one)["state_dict"], checkpoint(other)["state_dict"])
