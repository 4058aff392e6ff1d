"""The settings of several processes and large batches: refused, without effect, said; and what is encoded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import rows, start

from scan_lightning import cli
from scan_lightning.config import TrainConfig
from scan_lightning.errors import ScanError
from scan_lightning.launch.checks import without_effect
from scan_lightning.model.encoders import ImageEncoder
from scan_lightning.validate import build

Configure = Callable[..., TrainConfig]


def refused(store: Path, *words: str) -> int:
    return cli.main(["train", f"data.path={store}", *words])


@pytest.mark.parametrize("negatives", ["hardest", "all"])
def test_accumulating_another_loss_is_refused(
    store: Path, capsys: pytest.CaptureFixture[str], negatives: str
) -> None:
    words = ["trainer.accumulate_grad_batches=4", "data.batch_size=32", f"loss.negatives={negatives}"]
    assert refused(store, *words) == 2
    message = capsys.readouterr().err
    assert (
        "trainer.accumulate_grad_batches: 4 batches a step, each with negatives among its own 32" in message
    )
    assert "add loss.large_batch=true" in message
    assert "over all 128 pairs" in message


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["loss.negatives_scope=globl"],
            "loss.negatives_scope: found 'globl'; expected one of global, local",
        ),
        (["trainer.accumulate_grad_batches=0"], "trainer.accumulate_grad_batches: found 0; expected"),
        (["loss.large_batch=2"], "loss.large_batch: found 2; expected true or false"),
    ],
)
def test_wrong_values(store: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert refused(store, *words) == 2
    assert said in capsys.readouterr().err


def test_settings_without_effect_warn(store: Path) -> None:
    values = {"data": {"path": str(store)}, "run_dir": "run"}
    loss = {"large_batch": True, "negatives_scope": "local"}
    found = list(without_effect(build(TrainConfig, {**values, "loss": loss}), []))
    assert [line.split(" has no effect")[0] for line in found] == [
        "loss.large_batch=true",
        "loss.negatives_scope=local",
    ]
    trainer = {"devices": 2, "accumulate_grad_batches": 2}
    assert not list(without_effect(build(TrainConfig, {**values, "loss": loss, "trainer": trainer}), []))


@pytest.mark.parametrize(
    ("devices", "loss", "batches", "said"),
    [
        (1, {}, 1, ""),
        (1, {"large_batch": True}, 2, "118 pairs a step, encoded 59 at a time"),
        (2, {}, 1, "59 pairs a step, shared by 2 processes, negatives among all of them"),
        (
            2,
            {"negatives_scope": "local"},
            1,
            "59 pairs a step, shared by 2 processes, negatives in each share",
        ),
    ],
)
def test_the_effective_batch_is_said_and_recorded(
    configure: Configure,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    devices: int,
    loss: dict[str, Any],
    batches: int,
    said: str,
) -> None:
    trainer = {"max_steps": 1, "accumulate_grad_batches": batches}
    config = configure(tmp_path / "run", devices, loss=loss, trainer=trainer)
    start(config)
    first = capfd.readouterr().err.splitlines()[0]
    assert first == said if said else "pairs a step" not in first
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["effective_batch"] == 59 * batches
    assert record["processes"] == devices
    assert rows(config)[0]["train/pairs"] == str(59 * batches)


def test_with_local_negatives_a_run_keeps_its_number_of_processes(
    configure: Configure, tmp_path: Path
) -> None:
    loss, run = {"negatives_scope": "local"}, tmp_path / "run"
    start(configure(run, 2, loss=loss, trainer={"max_steps": 1}))
    with pytest.raises(ScanError, match=r"trainer\.devices: 2 there, 1 now"):
        start(configure(run, 1, loss=loss, resume="auto"))


def test_a_large_batch_is_never_encoded_at_once(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part twice, without and with a graph; so its activations are the only ones at any time."""
    sizes = []
    forward = ImageEncoder.forward

    def noting(self: ImageEncoder, regions: torch.Tensor) -> torch.Tensor:
        if self.training:
            sizes.append(len(regions))
        return forward(self, regions)

    monkeypatch.setattr(ImageEncoder, "forward", noting)
    trainer = {"accumulate_grad_batches": 4, "max_steps": 1}
    start(configure(tmp_path / "run", data={"batch_size": 16}, loss={"large_batch": True}, trainer=trainer))
    assert sizes == [16] * 8


@pytest.mark.parametrize("devices", [1, 2])
def test_bf16_follows_fp32(configure: Configure, tmp_path: Path, devices: int) -> None:
    losses = []
    for precision in ("fp32", "bf16"):
        trainer = {"precision": precision, "max_steps": 3}
        config = configure(tmp_path / precision, devices, trainer=trainer)
        start(config)
        losses.append([float(row["train/loss"]) for row in rows(config) if row["train/loss"]])
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    assert losses[1] != losses[0]
