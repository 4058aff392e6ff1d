"""Memory is handed out again only when nothing looks at it any longer."""

import pickle
from pathlib import Path

import numpy as np
import torch
from store_help import make_records, write

from scan_lightning.data.buffers import HUGE_PAGE, KEPT, Buffers
from scan_lightning.data.store import Store

FLOAT = np.dtype("float32")


def _place(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


def test_memory_that_was_dropped_comes_again_for_as_much_or_less() -> None:
    buffers = Buffers()
    first = buffers.empty((3, 4), FLOAT)
    place = _place(first)
    del first
    again = buffers.empty((2, 5), np.dtype("float16"))
    assert _place(again) == place
    assert again.shape == (2, 5)
    assert again.dtype == np.float16


def test_a_view_or_a_tensor_holds_its_memory() -> None:
    buffers = Buffers()
    first = buffers.empty((3, 4), FLOAT)
    first[:] = 1
    row = torch.from_numpy(first)[2]
    place = _place(first)
    del first
    others = [buffers.empty((3, 4), FLOAT) for _ in range(2 * KEPT)]
    for other in others:
        other[:] = 2
    assert len({_place(other) for other in others} | {place}) == 2 * KEPT + 1
    assert row.tolist() == [1, 1, 1, 1]


def test_no_more_is_kept_than_said() -> None:
    buffers = Buffers()
    held = [buffers.empty((size,), FLOAT) for size in (10, 20, 30, 40, 50)]
    del held
    assert len(buffers._buffers) == KEPT
    buffers.empty((1000,), FLOAT)  # larger than any: the small ones go
    assert [buffer.nbytes for buffer, _ in buffers._buffers] == [4000]


def test_large_arrays_begin_at_a_huge_page_and_are_used_again() -> None:
    buffers = Buffers()
    places = set()
    for size in (10**7, 10**7, 9 * 10**6):
        array = buffers.empty((size,), FLOAT)
        array[:] = size
        places.add(_place(array))
        assert _place(array) % HUGE_PAGE == 0
        del array
    assert len(places) == 1


def test_batches_that_are_held_keep_what_they_hold(tmp_path: Path) -> None:
    records = make_records()
    store = Store(write(tmp_path / "s.h5", records, dtype="float32"))
    generator = np.random.default_rng(0)
    orders = [generator.integers(0, len(records), 5) for _ in range(20)]
    batches = [store.read_regions(rows) for rows in orders]
    del batches[::2]  # every other one is dropped and its memory used again
    rest = orders[1::2]
    for rows in orders:
        store.read_regions(rows)
    for rows, (features, counts) in zip(rest, batches, strict=True):
        for index, row in enumerate(rows):
            np.testing.assert_array_equal(features[index, : counts[index]], records[row].features)
            assert not features[index, counts[index] :].any()


def test_another_process_has_its_own() -> None:
    buffers = Buffers()
    buffers.empty((3,), FLOAT)
    assert pickle.loads(pickle.dumps(buffers))._buffers == []
