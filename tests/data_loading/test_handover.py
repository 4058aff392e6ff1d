"""Batches from workers: memory is used again, and never while somebody looks at it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from scan_lightning.data.batches import ImageBatch
from scan_lightning.data.buffers import Buffers
from scan_lightning.data.handover import Slots
from scan_lightning.data.loading import BlockLoader, Images
from scan_lightning.data.reading import AHEAD, HELD
from scan_lightning.data.store import Store

ROWS = np.random.default_rng(0).integers(0, 23, 160)


def images(store: Store) -> Images:
    return Images(store, ROWS)


def expected(store: Store, size: int = 4) -> Iterator[ImageBatch]:
    for start in range(0, len(ROWS), size):
        yield images(store).read(list(range(start, start + size)), Buffers())


def same(one: ImageBatch, other: ImageBatch) -> bool:
    return torch.equal(one.regions, other.regions) and torch.equal(one.counts, other.counts)


def made_by_torch() -> int:
    """How many pieces of torch's shared memory this process sees."""
    return Path("/proc/self/maps").read_text().count("/torch_")


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("kept", [1, 2, 40])  # every batch, every other one, the first only
def test_batches_that_are_held_stay_what_they_are(store: Store, workers: int, kept: int) -> None:
    loader = BlockLoader(images(store), 4, workers=workers)
    held = [(number, batch) for number, batch in enumerate(loader) if number % kept == 0]
    for batch, right in zip(loader, expected(store), strict=True):  # the memory that is free comes again
        assert same(batch, right)
    right_ones = list(expected(store))
    assert len(held) == -(-len(right_ones) // kept)
    assert bool(made_by_torch()) == (kept < 40)  # without a free slot it goes torch's way
    assert all(same(batch, right_ones[number]) for number, batch in held)


def test_a_row_of_a_batch_holds_its_memory(store: Store) -> None:
    loader = BlockLoader(images(store), 4, workers=1)
    rows = [batch.regions[1] for batch in loader]
    list(loader)
    assert all(torch.equal(row, right.regions[1]) for row, right in zip(rows, expected(store), strict=True))


def test_dropped_batches_come_through_few_slots(store: Store) -> None:
    loader = BlockLoader(images(store), 4, workers=2)
    places = set()
    for batch in loader:
        places.add(batch.regions.data_ptr())
        assert not made_by_torch()
    assert len(places) <= 2 * AHEAD + HELD


def test_an_iteration_given_up_harms_none_after_it(store: Store) -> None:
    loader = BlockLoader(images(store), 4, workers=2)
    kept = []
    for stop in (1, 5, 2):
        for number, batch in enumerate(loader):
            if number == stop:
                kept.append((number, batch))
                break
    right_ones = list(expected(store))
    assert all(map(same, loader, right_ones))
    assert all(same(batch, right_ones[number]) for number, batch in kept)
    kept.clear()
    del batch
    assert not any(made_by_torch() for _ in loader)  # slots of what was given up are used again


def test_a_killed_worker_is_reported(store: Store) -> None:
    batches = iter(loader := BlockLoader(images(store), 4, workers=1))
    next(batches)
    os.kill(loader._batches._loader._iterator._workers[0].pid, signal.SIGKILL)  # type: ignore[union-attr]
    with pytest.raises(RuntimeError, match="DataLoader worker"):
        list(batches)


def test_any_tensor_comes_back(tmp_path: Path) -> None:
    slots = Slots(1, 4000)
    slot = slots.take()
    assert slot == 0
    memory = slots.open(slot)
    inside = memory.empty((3, 5), np.dtype(np.float16))
    inside[:] = np.arange(15).reshape(3, 5)
    batches = [
        ImageBatch(torch.from_numpy(inside), torch.tensor([7, -1])),  # written there, and made elsewhere
        ImageBatch(torch.from_numpy(inside).T, torch.zeros(0, 4)),  # not in one piece, and empty
    ]
    sent = [memory.send(batch) for batch in batches]
    assert slots.take() is None
    received = [slots.receive(slot, batch) for batch in sent]
    assert all(map(same, received, batches))
    assert received[0].regions.data_ptr() == inside.__array_interface__["data"][0]
    assert slots.take() is None  # looked at
    del batches, received, inside, memory
    assert slots.take() == 0


def test_more_than_was_said_is_no_batch() -> None:
    memory = Slots(1, 1000).open(0)
    with pytest.raises(ValueError, match="reshape"):
        memory.empty((100, 100), np.dtype(np.float32))
