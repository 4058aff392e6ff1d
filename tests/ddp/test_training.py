"""Whole runs: the number of processes changes neither what is learnt nor what is read."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from runs import checkpoint, rows, start

from scan_lightning.config.schema import TrainConfig
from scan_lightning.data.items import Pairs
from scan_lightning.data.order import BatchOrder

Configure = Callable[..., TrainConfig]
STEPS = 6
RECORD = Pairs.read


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """A forked process cannot use threads that its parent has started."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def alone(configure: Configure, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    config = configure(tmp_path_factory.mktemp("alone") / "run", loss={"warmup_steps": 2})
    torch.set_num_threads(1)
    start(config)
    return config


def column(config: TrainConfig, name: str) -> list[float]:
    return [float(row[name]) for row in rows(config) if row[name]]


def assert_same_course(one: TrainConfig, other: TrainConfig, tolerance: float = 1e-3) -> None:
    for name in ("train/loss", "train/grad_norm"):
        first, second = column(one, name), column(other, name)
        assert len(first) == STEPS
        assert second == pytest.approx(first, rel=tolerance, abs=tolerance)
        # before the first step all runs have the same weights
        assert second[0] == pytest.approx(first[0], rel=1e-5)
    assert column(other, "train/pairs") == column(one, "train/pairs")
    weights = [checkpoint(run)["state_dict"] for run in (one, other)]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("devices", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_the_course_of_a_run_is_that_of_one_process(
    configure: Configure, alone: TrainConfig, tmp_path: Path, devices: int
) -> None:
    """Two steps with all negatives, then hardest ones; the last batch of an epoch has two pairs."""
    several = configure(tmp_path / "run", devices, loss={"warmup_steps": 2})
    start(several)
    assert column(several, "train/pairs") == [59, 59, 2] * 2
    assert_same_course(alone, several)


LINKS_LATE = """
import sys, time
from scan_lightning import files
link_file = files.link_file
files.link_file = lambda *paths: (time.sleep(2), link_file(*paths))
from scan_lightning.__main__ import main
sys.exit(main())
"""


def test_an_end_that_was_not_validated_is_the_best_to_every_process(store: Path, tmp_path: Path) -> None:
    """No epoch is validated: the first process makes best.ckpt, late, while the other goes on."""
    script, run = tmp_path / "late.py", tmp_path / "run"
    script.write_text(LINKS_LATE)
    words = [f"data.path={store}", f"run_dir={run}", "data.word_threshold=1", "model.embed_size=16"]
    words += ["trainer=ddp_cpu", "trainer.max_epochs=1", "trainer.check_val_every_n_epoch=2"]
    done = subprocess.run(
        [sys.executable, str(script), "train", *words],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (run / "checkpoints" / "best.ckpt").samefile(run / "checkpoints" / "last.ckpt")


@pytest.mark.slow
@pytest.mark.parametrize(("first", "then"), [(2, 1), (1, 2), (3, 2)])
def test_a_run_goes_on_with_another_number_of_processes(
    configure: Configure,
    alone: TrainConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    first: int,
    then: int,
) -> None:
    monkeypatch.setattr(Pairs, "read", noting(tmp_path))
    run, loss = tmp_path / "run", {"warmup_steps": 2}
    start(configure(run, first, loss=loss, trainer={"max_steps": 4}))
    start(configure(run, then, loss=loss, resume="auto"))
    whole = configure(run, then, loss=loss)
    assert_same_course(alone, whole)
    assert pairs_read(tmp_path, first)[:4] + pairs_read(tmp_path, then)[-2:] == pairs_in_order()


def noting(folder: Path) -> Callable[[Pairs, list[int]], Any]:
    """Reads pairs and notes which, a file for each process and number of processes."""

    def read(self: Pairs, positions: list[int]) -> Any:
        rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        with (folder / f"{world}-{rank}").open("a") as file:
            print(json.dumps(positions), file=file)
        return RECORD(self, positions)

    return read


def pairs_read(folder: Path, world: int) -> list[list[int]]:
    """The pairs of every step, those of all processes."""
    shares = [
        [json.loads(line) for line in (folder / f"{world}-{rank}").read_text().splitlines()]
        for rank in range(world)
    ]
    return [list(chain(*step)) for step in zip(*shares, strict=True)]


def pairs_in_order() -> list[list[int]]:
    """The pairs of every step, each of an epoch's exactly once."""
    order = BatchOrder(120, 59, seed=0)
    steps = []
    for order.step in (0, 3):
        epoch = list(order)
        assert sorted(chain(*epoch)) == list(range(120))
        steps += epoch
    return steps


@pytest.mark.slow
def test_local_negatives_are_another_loss(configure: Configure, alone: TrainConfig, tmp_path: Path) -> None:
    local = configure(tmp_path / "run", 3, loss={"warmup_steps": 2, "negatives_scope": "local"})
    start(local)
    found, wanted = column(local, "train/loss"), column(alone, "train/loss")
    assert found[0] < 0.5 * wanted[0]  # all negatives: a third as many
    assert found[2] == 0  # two pairs, each in a process of its own
    assert wanted[2] > 0


@pytest.mark.parametrize("devices", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_micro_batches_are_one_batch(configure: Configure, tmp_path: Path, devices: int) -> None:
    """4 x 15 pairs, encoded 15 at a time, against 60 at once."""
    epochs = {"max_epochs": 3}
    large = configure(tmp_path / "large", data={"batch_size": 60}, trainer=epochs)
    parts = configure(
        tmp_path / "parts",
        devices,
        data={"batch_size": 60},
        loss={"micro_batches": 4},
        trainer=epochs,
    )
    start(large)
    start(parts)
    assert column(parts, "train/pairs") == [60] * STEPS
    assert_same_course(large, parts)
