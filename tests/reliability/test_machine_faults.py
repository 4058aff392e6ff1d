"""What the machine does to a training: a full or read-only disk, a killed worker, a changed store."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from children import DONE, REFUSED, children_of, in_child, limit_files, mounted, status_of, wait_for
from runs import folder, rows, start
from small import Configure, write_small
from test_training_killed import assert_same_run, loads, slowly, when_step

from scan_lightning.config.schema import TrainConfig


def one_message(log: Path) -> str:
    """The only line that a refused command wrote."""
    text = log.read_text()
    assert "Traceback" not in text
    (line,) = [line for line in text.splitlines() if line.startswith("error: ")]
    return line


@pytest.mark.fault(
    "a disk that is full during a training: for the log, for a checkpoint, at any size (also as a limit on "
    "the size of files)",
    "one message that names the file, status 2; what was saved is complete, and with room again the resumed "
    "run is the unbroken one, bit for bit",
)
def test_a_disk_that_fills_up(configure: Configure, unbroken: TrainConfig, tmp_path: Path) -> None:
    """Each size lets the run come a little further: three checkpoints kept, and the log."""
    size = sum(file.stat().st_size for file in folder(unbroken).rglob("*") if file.is_file())
    with mounted(tmp_path / "disk", f"size={2 * size // 4096 * 4096}") as is_small:
        config = configure(tmp_path / "disk" / "run", checkpointing={"every_steps": 1, "keep": 9})
        filler, reached = tmp_path / "disk" / "filler", []
        for part in (0.02, 0.3, 0.9):
            room = int(part * size)

            def run(room: int = room) -> None:
                if not is_small:
                    limit_files(room)
                start(config)

            if is_small:
                filler.unlink(missing_ok=True)
                filler.write_bytes(b"0" * max(shutil.disk_usage(filler.parent).free - room, 0))
            assert status_of(in_child(run, tmp_path / "log")) == REFUSED, (tmp_path / "log").read_text()
            message = one_message(tmp_path / "log")
            assert str(folder(config)) in message
            assert "no space left" in message or "File too large" in message
            reached.append(loads(config))
            assert not list(folder(config).rglob("*.partial"))
        assert reached == sorted(reached)
        moved = configure(tmp_path / "run", checkpointing={"every_steps": 1})
        shutil.copytree(folder(config), folder(moved))
    assert status_of(in_child(lambda: start(moved))) == DONE
    assert_same_run(unbroken, moved)


@pytest.mark.parametrize(("row_count", "part"), [(0, 0), (4, 0), (4, 9), (10, 1)])
@pytest.mark.fault(
    "no room for one more row of metrics.csv",
    "one message that names the file, status 2; resumed, the curve has no gap and no double",
)
def test_a_log_that_may_not_grow(
    configure: Configure, unbroken: TrainConfig, tmp_path: Path, row_count: int, part: int
) -> None:
    """The checkpoints fit: only metrics.csv grows beyond what is allowed; `part` bytes of its row fit."""
    from scan_lightning.training.loggers.metrics_csv import MetricsCSV

    config = configure(tmp_path / "run", checkpointing={"every_steps": 1})
    original = MetricsCSV._write
    written = 0

    def write(self: MetricsCSV, row: Any) -> None:
        nonlocal written
        if written == row_count:
            limit_files(self.path.stat().st_size + part)
        written += 1
        original(self, row)

    def run() -> None:
        MetricsCSV._write = write  # type: ignore[method-assign]
        start(config)

    assert status_of(in_child(run, tmp_path / "log")) == REFUSED, (tmp_path / "log").read_text()
    assert str(folder(config)) in one_message(tmp_path / "log")
    assert status_of(in_child(lambda: start(config))) == DONE
    assert_same_run(unbroken, config)


@pytest.mark.fault(
    "a read-only file system for a run or a build (where none can be mounted: /proc, which takes no files)",
    "one message that names the file, status 2, nothing left behind",
)
def test_a_folder_that_takes_nothing(configure: Configure, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "ro") as is_mounted:
        place = tmp_path / "disk" if is_mounted else Path("/proc")
        before = sorted(place.iterdir()) if is_mounted else []
        assert status_of(in_child(lambda: start(configure(place / "run")), tmp_path / "log")) == REFUSED, (
            tmp_path / "log"
        ).read_text()
        assert str(place / "run") in one_message(tmp_path / "log")
        assert status_of(in_child(lambda: write_small(place / "s.h5"), tmp_path / "log")) == REFUSED
        assert str(place / "s.h5") in one_message(tmp_path / "log")
        assert is_mounted is False or sorted(place.iterdir()) == before


@pytest.mark.fault(
    "SIGKILL of a process that reads data for a training (as when memory runs out)",
    "one message that says so, status 2; the resumed run is the unbroken one, bit for bit",
)
def test_a_killed_worker(configure: Configure, unbroken: TrainConfig, tmp_path: Path) -> None:
    config = configure(tmp_path / "run", data={"workers": 2}, checkpointing={"every_steps": 1})
    child = in_child(lambda: slowly(config), tmp_path / "log")
    wait_for(when_step(config, 2))
    os.kill(children_of(child)[0], signal.SIGKILL)
    assert status_of(child) == REFUSED, (tmp_path / "log").read_text()
    message = one_message(tmp_path / "log")
    assert "data.workers: DataLoader worker" in message
    assert ". It was ended from outside" in message  # torch words it in two ways
    assert "resume=auto" in message
    assert status_of(in_child(lambda: start(config))) == DONE
    assert_same_run(unbroken, config)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("way", ["rename", "in place", "cut"])
@pytest.mark.fault(
    "a store replaced under a running training: renamed over, overwritten in place, or cut short",
    "renamed over, the open file is read on and the run is the unbroken one; written to, one message and "
    "status 2 before a batch of other content is trained on",
)
def test_a_store_that_changes_under_a_run(
    configure: Configure, unbroken: TrainConfig, small_store: Path, tmp_path: Path, way: str, workers: int
) -> None:
    store = tmp_path / "small.h5"
    shutil.copy(small_store, store)
    data: dict[str, Any] = {"path": str(store), "workers": workers}
    config = configure(tmp_path / "run", data=data, checkpointing={"every_steps": 1})
    child = in_child(lambda: slowly(config), tmp_path / "log")
    wait_for(when_step(config, 6))  # in the second epoch: every process has opened the store
    if way == "rename":
        write_small(tmp_path / "other.h5", seed=5).replace(store)
    elif way == "in place":  # as `cp other.h5 small.h5` does, when both are of one size
        with store.open("r+b") as file:
            file.write(small_store.read_bytes())
    else:
        os.truncate(store, 5000)
    status = status_of(child)
    if way == "rename":
        assert status == DONE, (tmp_path / "log").read_text()
        assert_same_run(unbroken, config)
        return
    assert status == REFUSED, (tmp_path / "log").read_text()
    message = one_message(tmp_path / "log")
    assert message.startswith(f"error: {store}: was cut short or overwritten while it was in use")
    shutil.copy(small_store, store)
    assert status_of(in_child(lambda: start(config))) == DONE
    assert_same_run(unbroken, config)


def test_what_was_refused_is_on_record(configure: Configure, tmp_path: Path) -> None:
    """The series of a run that ended in a fault holds every step that was done."""
    config = configure(tmp_path / "run", data={"workers": 2})
    child = in_child(lambda: slowly(config), tmp_path / "log")
    wait_for(when_step(config, 2))
    os.kill(children_of(child)[0], signal.SIGKILL)
    assert status_of(child) == REFUSED
    steps = [row["step"] for row in rows(config) if row["train/loss"]]  # a validation may have come between
    assert steps == [str(step) for step in range(1, len(steps) + 1)]
    assert len(steps) >= 2
