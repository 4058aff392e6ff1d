"""The settings of several processes and large batches: refused, without effect, said; and what is encoded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from runs import rows, start
from small import make_config

from scan_lightning import cli
from scan_lightning.config.checks import without_effect
from scan_lightning.config.schema import TrainConfig
from scan_lightning.errors import ScanError
from scan_lightning.model.encoders import LinearEncoder

Configure = Callable[..., TrainConfig]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["loss.negatives_scope=globl"],
            "loss.negatives_scope: found 'globl'; expected one of global, local",
        ),
        (["loss.micro_batches=0"], "loss.micro_batches: found 0; expected an integer, at least 1"),
        (["loss.large_batch=true"], "loss.large_batch: there is no such key; it is loss.micro_batches now"),
    ],
)
def test_wrong_values(
    store: Path, capsys: pytest.CaptureFixture[str], words: list[str], expected: str
) -> None:
    assert cli.main(["train", f"data.path={store}", *words]) == 2
    assert expected in capsys.readouterr().err


def test_settings_without_effect_warn(store: Path) -> None:
    values = {"data": {"path": str(store)}, "run_dir": "run", "loss": {"negatives_scope": "local"}}
    found = list(without_effect(make_config(values), []))
    assert [line.split(" has no effect")[0] for line in found] == ["loss.negatives_scope=local"]
    assert not list(without_effect(make_config({**values, "trainer": {"devices": 2}}), []))


@pytest.mark.parametrize("devices", [1, 2])
def test_the_batch_of_all_processes_is_recorded(configure: Configure, tmp_path: Path, devices: int) -> None:
    config = configure(tmp_path / "run", devices, trainer={"max_steps": 1})
    start(config)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["batch_size"] == 59
    assert record["processes"] == devices
    assert rows(config)[0]["train/pairs"] == "59"


def test_with_local_negatives_a_run_keeps_its_number_of_processes(
    configure: Configure, tmp_path: Path
) -> None:
    loss, run = {"negatives_scope": "local"}, tmp_path / "run"
    start(configure(run, 2, loss=loss, trainer={"max_steps": 1}))
    with pytest.raises(ScanError, match=r"trainer\.devices: 2 there, 1 now"):
        start(configure(run, 1, loss=loss, resume="auto"))


def test_micro_batches_are_never_encoded_at_once(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part twice, without and with a graph; so its activations are the only ones at any time."""
    sizes = []
    forward = LinearEncoder.forward

    def noting(self: LinearEncoder, regions: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        if self.training:
            sizes.append(len(regions))
        return forward(self, regions, counts)

    monkeypatch.setattr(LinearEncoder, "forward", noting)
    loss, trainer = {"micro_batches": 4}, {"max_steps": 1}
    start(configure(tmp_path / "run", data={"batch_size": 64}, loss=loss, trainer=trainer))
    assert sizes == [16] * 8


@pytest.mark.parametrize("devices", [1, 2])
def test_bf16_follows_fp32(configure: Configure, tmp_path: Path, devices: int) -> None:
    losses = []
    for precision in ("32-true", "bf16-mixed"):
        trainer = {"precision": precision, "max_steps": 3}
        config = configure(tmp_path / precision, devices, trainer=trainer)
        start(config)
        losses.append([float(row["train/loss"]) for row in rows(config) if row["train/loss"]])
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    assert losses[1] != losses[0]
