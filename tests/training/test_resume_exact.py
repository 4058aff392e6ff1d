"""A run that is stopped and goes on is the run that was never stopped, bit for bit."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from runs import breaking, checkpoint, folder, rows, same_tensors, start
from small import Configure

from scan_lightning.errors import ScanError


class CrashError(Exception):
    """Stands for anything that ends a process."""


def assert_same_run(one: object, other: object) -> None:
    for name in ("last.ckpt", "best.ckpt"):
        first, second = checkpoint(one, name), checkpoint(other, name)  # type: ignore[arg-type]
        assert same_tensors(first["state_dict"], second["state_dict"]), name
        assert same_tensors(first["optimizer_states"], second["optimizer_states"]), name
        assert first["global_step"] == second["global_step"], name
    assert rows(one) == rows(other)  # type: ignore[arg-type]
    files = [(folder(run) / "results.json").read_text() for run in (one, other)]  # type: ignore[arg-type]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("every_steps", "workers"),
    [
        (1, 0),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in ((0, 0), (3, 0), (0, 2), (1, 2), (3, 2))),
    ],
)
def test_stopped_at_any_step(configure: Configure, tmp_path: Path, every_steps: int, workers: int) -> None:
    settings = {"data": {"workers": workers}, "checkpointing": {"every_steps": every_steps}}
    unbroken = configure(tmp_path / "unbroken", data={"workers": workers})
    start(unbroken)
    assert [row["step"] for row in rows(unbroken) if row["train/loss"]] == [str(n) for n in range(1, 11)]

    broken = configure(tmp_path / "broken", resume="auto", **settings)
    for step in (1, 2, 4, 5, 6, 7, 10):  # 5 ends the first epoch, 6 begins the second
        with breaking(step, CrashError()), pytest.raises(CrashError):
            start(broken)
    start(broken)
    assert_same_run(unbroken, broken)


@pytest.mark.slow
def test_a_limit_of_steps_may_be_raised(configure: Configure, tmp_path: Path) -> None:
    unbroken = configure(tmp_path / "unbroken")
    start(unbroken)
    run = tmp_path / "broken"
    for limit in (2, 5, 7):
        start(configure(run, resume="auto", trainer={"max_steps": limit}))
    last = configure(run, resume="auto")
    start(last)
    first, second = checkpoint(unbroken), checkpoint(last)
    assert same_tensors(first["state_dict"], second["state_dict"])
    trained = [[row for row in rows(run) if row["train/loss"]] for run in (unbroken, last)]
    assert trained[0] == trained[1]
    assert [row["step"] for row in rows(last) if row["val/rsum"]] == ["2", "5", "7", "10"]


def test_goes_on_in_another_folder(configure: Configure, tmp_path: Path) -> None:
    unbroken = configure(tmp_path / "unbroken")
    start(unbroken)
    broken = configure(tmp_path / "broken", checkpointing={"every_steps": 1})
    with breaking(8, CrashError()), pytest.raises(CrashError):
        start(broken)
    moved = configure(tmp_path / "moved", resume=str(folder(broken) / "checkpoints" / "last.ckpt"))
    start(moved)
    assert_same_run(unbroken, moved)


def test_never_goes_on_in_the_folder_of_another_run(configure: Configure, tmp_path: Path) -> None:
    one, other = configure(tmp_path / "one"), configure(tmp_path / "other")
    for config in (one, other):
        start(config)
    before = {file: file.read_bytes() for file in folder(other).rglob("*") if file.is_file()}
    other.resume = str(folder(one) / "checkpoints" / "last.ckpt")
    with pytest.raises(ScanError, match="holds a run already, and not that of"):
        start(other)
    assert before == {file: file.read_bytes() for file in folder(other).rglob("*") if file.is_file()}
    other.resume = str(folder(other) / "checkpoints" / "last.ckpt")
    start(other)


def test_a_lone_checkpoint_is_enough(configure: Configure, tmp_path: Path) -> None:
    unbroken = configure(tmp_path / "unbroken")
    start(unbroken)
    broken = configure(tmp_path / "broken", checkpointing={"every_steps": 1})
    with breaking(8, CrashError()), pytest.raises(CrashError):
        start(broken)
    (tmp_path / "sent").mkdir()
    shutil.copy(folder(broken) / "checkpoints" / "last.ckpt", tmp_path / "sent" / "some.ckpt")
    moved = configure(tmp_path / "moved", resume=str(tmp_path / "sent" / "some.ckpt"))
    start(moved)
    assert same_tensors(checkpoint(unbroken)["state_dict"], checkpoint(moved)["state_dict"])
    assert rows(moved) == rows(unbroken)[-4:]  # steps 8, 9, 10 and the last validation


def test_a_finished_run_is_left_alone(configure: Configure, capfd: pytest.CaptureFixture[str]) -> None:
    config = configure()
    first = start(config)
    before = {file: file.stat().st_mtime_ns for file in (folder(config) / "checkpoints").iterdir()}
    config.resume = "auto"
    assert start(config) == first
    assert {file: file.stat().st_mtime_ns for file in (folder(config) / "checkpoints").iterdir()} == before
    assert "finished already, after 10 steps" in capfd.readouterr().err
