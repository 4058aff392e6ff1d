"""Training over a store several times larger than the memory it may take: features are never collected."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from children import DONE, in_child, status_of
from runs import start
from small import Configure

from scan_lightning.data.store import Store
from scan_lightning.data.writer import ImageRecord, write_store

MIB = 2**20
IMAGES, REGIONS, DIM = 2600, 36, 2048  # float16: 366 MiB
ALLOWED = 90 * MIB  # a quarter of it, above what Python and torch take before


def resident(kind: str) -> int:
    """Bytes of this process's resident memory of a kind: RssAnon (its own), RssFile, RssShmem."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(kind)


def growth_of(action: Callable[[], object], log: Path) -> int:
    """By how many bytes the anonymous memory of a process of its own grows at most while it acts."""

    def watched() -> None:
        peak, stop = [0], threading.Event()
        before = resident("RssAnon")

        def sample() -> None:
            while not stop.wait(0.005):
                peak[0] = max(peak[0], resident("RssAnon") - before)

        thread = threading.Thread(target=sample)
        thread.start()
        action()
        time.sleep(0.02)
        stop.set()
        thread.join()
        log.with_suffix(".growth").write_text(str(peak[0]))

    assert status_of(in_child(watched, log), patience=300) == DONE, log.read_text()
    return int(log.with_suffix(".growth").read_text())


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    noise = np.random.default_rng(0).standard_normal((REGIONS + 500, DIM)).astype(np.float16)

    def records() -> Iterator[ImageRecord]:
        for row in range(IMAGES):
            features = noise[row % 500 : row % 500 + REGIONS]
            split, caption = "val" if row < 60 else "train", f"word{row % 7} word{row % 5}"
            yield ImageRecord(str(row), split, 0, 0, features, None, [caption])

    path = tmp_path_factory.mktemp("large") / "large.h5"
    totals = {"images": IMAGES, "regions": IMAGES * REGIONS}
    write_store(path, records(), source="large", feature_dim=DIM, progress=False, **totals)
    assert path.stat().st_size > 4 * ALLOWED
    return path


@pytest.mark.slow
@pytest.mark.fault(
    "a store four times larger than the memory a training may take",
    "the run takes less: anonymous memory stays flat while every feature is read",
)
@pytest.mark.parametrize("workers", [0, 2])
def test_training_takes_a_batch_at_a_time(
    configure: Configure, large: Path, tmp_path: Path, workers: int
) -> None:
    config = configure(
        tmp_path / "run",
        data={"path": str(large), "workers": workers, "batch_size": 64},
        trainer={"max_epochs": 1},
    )
    growth = growth_of(lambda: start(config), tmp_path / "log")
    assert growth < ALLOWED, f"{growth / MIB:.0f} MiB"


@pytest.mark.slow
def test_the_measure_notices_who_collects(large: Path, tmp_path: Path) -> None:
    store = Store(large)
    growth = growth_of(lambda: store.read_regions(np.arange(IMAGES)), tmp_path / "log")
    assert growth > 4 * ALLOWED * 0.9
