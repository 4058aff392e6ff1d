"""`data.cache`: the streamed batches wherever regions are held; what does not fit is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from scan_lightning.choices import Cache
from scan_lightning.cli import main
from scan_lightning.data import cache as cache_module
from scan_lightning.data.batches import PairBatch
from scan_lightning.data.buffers import Buffers
from scan_lightning.data.cache import MemoryRegions, available_memory, require_room
from scan_lightning.data.datamodule import PairData
from scan_lightning.data.store import Store
from scan_lightning.data.units import size_text
from scan_lightning.errors import ScanError

CPU = torch.device("cpu")


def place(device: torch.device) -> SimpleNamespace:
    """What a PairData asks its trainer for."""
    strategy = SimpleNamespace(root_device=device)
    return SimpleNamespace(global_rank=0, world_size=1, num_devices=1, strategy=strategy, training=True)


def batches_of(data: PairData) -> list[PairBatch]:
    data.trainer = place(CPU)  # type: ignore[assignment]
    train = [data.transfer_batch_to_device(batch, CPU, 0) for batch in data.train_dataloader()]
    data.trainer.training = False
    return train + [
        data.transfer_batch_to_device(batch, CPU, index)
        for index, loader in enumerate(data.val_dataloader())
        for batch in loader
    ]


def tensors(batch: object) -> list[torch.Tensor]:
    parts = vars(batch).values()
    return [
        tensor for part in parts for tensor in ([part] if isinstance(part, torch.Tensor) else tensors(part))
    ]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cache", [Cache.memory, Cache.device])
def test_the_batches_are_those_of_the_stream(store_path: Path, cache: Cache, workers: int) -> None:
    expected = batches_of(PairData(store_path, batch_size=7, seed=3))
    found = batches_of(PairData(store_path, batch_size=7, seed=3, workers=workers, cache=cache))
    assert len(found) == len(expected) > 3
    for one, other in zip(found, expected, strict=True):
        assert type(one) is type(other)
        for a, b in zip(tensors(one), tensors(other), strict=True):
            assert a.dtype == b.dtype
            assert torch.equal(a, b)


def test_a_split_is_loaded_once(store_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []
    original = cache_module._load
    monkeypatch.setattr(cache_module, "_load", lambda *a, **k: (loads.append(a[4]), original(*a, **k)))
    data = PairData(store_path, cache=Cache.memory)
    for _ in range(3):
        data.val_dataloader()
        data.train_dataloader()
    assert sorted(loads) == ["train", "val"]


def test_workers_see_the_one_copy_of_the_main_process(store_path: Path) -> None:
    """What the main process writes after the workers are there, they read: it is the same memory."""
    data = PairData(store_path, batch_size=4, workers=2, cache=Cache.memory)
    loader = data.train_dataloader()
    next(iter(loader))  # the workers have forked, and live on
    data._in_memory["train"].table[:] = 7
    loader.step = 0
    assert all((batch.images.regions[0, 0] == 7).all() for batch in loader)


def test_the_store_is_not_touched_any_more(store_path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "s.h5"
    copy.write_bytes(store_path.read_bytes())
    data = PairData(copy, batch_size=4, cache=Cache.memory)
    loader = data.train_dataloader()
    copy.unlink()
    expected = list(PairData(store_path, batch_size=4).train_dataloader())
    for one, other in zip(loader, expected, strict=True):
        assert torch.equal(one.images.regions, other.images.regions)


def bytes_of(store: Store, split: str) -> int:
    rows = store.image_rows(split)
    counts = store.region_offsets[rows + 1] - store.region_offsets[rows]
    return int(counts.sum()) * store.feature_dim * 2


@pytest.mark.parametrize("cache", [Cache.memory, Cache.device])
def test_what_does_not_fit_is_refused_with_numbers(
    store_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Cache
) -> None:
    needed = bytes_of(Store(store_path), "train")
    monkeypatch.setattr(cache_module, "available_memory", lambda: needed - 1)
    with pytest.raises(ScanError) as caught:
        PairData(store_path, cache=cache).train_dataloader()
    message = str(caught.value)
    assert f"data.cache={cache}: the regions of {store_path} need {size_text(needed)} (train " in message
    assert f"{size_text(needed - 1)} are free" in message
    assert "data.cache=none" in message or "or none" in message
    monkeypatch.setattr(cache_module, "available_memory", lambda: needed)
    PairData(store_path, cache=cache).train_dataloader()


@pytest.mark.parametrize("cache", [Cache.memory, Cache.device])
def test_a_run_whose_splits_do_not_fit_together_is_refused_before_one_is_loaded(
    store_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Cache
) -> None:
    train, val = (bytes_of(Store(store_path), split) for split in ("train", "val"))
    device = torch.device("cuda" if cache is Cache.device else "cpu")
    monkeypatch.setattr(cache_module, "available_memory", lambda: train + val - 1)
    monkeypatch.setattr(cache_module, "available_on", lambda _: train + val - 1)
    data = PairData(store_path, cache=cache)
    data.trainer = place(device)  # type: ignore[assignment]
    with pytest.raises(ScanError) as caught:
        data.setup("fit")
    sizes = f"{size_text(train + val)} (train {size_text(train)} + val {size_text(val)})"
    assert f"need {sizes}, and {size_text(train + val - 1)} are free" in str(caught.value)
    data.setup("validate")
    monkeypatch.setattr(cache_module, "available_memory", lambda: train + val)
    monkeypatch.setattr(cache_module, "available_on", lambda _: train + val)
    data.setup("fit")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["trainer=cpu"], "data.cache: device, a GPU, with trainer.accelerator=cpu; give data.cache=memory"),
        pytest.param(
            [],
            "data.cache=device: holds the regions on a GPU, but this run computes on the CPU; give",
            marks=pytest.mark.skipif(torch.accelerator.is_available(), reason="there is a GPU"),
        ),
    ],
)
def test_the_device_is_no_place_where_there_is_none(
    store_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], expected: str
) -> None:
    run_dir = tmp_path / "run"
    assert main(["train", f"data.path={store_path}", "data.cache=device", f"run_dir={run_dir}", *words]) == 2
    err = capsys.readouterr().err
    assert f"error: {expected}" in err
    assert "loading" not in err
    assert not (run_dir / "metrics.csv").exists()


def test_each_process_of_a_run_needs_its_own_copy(store_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(store_path)
    needed = MemoryRegions(store, "train", shown=False).table.nbytes
    monkeypatch.setattr(cache_module, "available_memory", lambda: 3 * needed)
    require_room(Cache.memory, store, ["train"], processes=3)
    with pytest.raises(ScanError, match="in each of 4 processes"):
        require_room(Cache.memory, store, ["train"], processes=4)
    monkeypatch.setattr(cache_module, "available_memory", lambda: needed)  # the others have theirs already
    MemoryRegions(store, "train", shown=False)


def test_the_memory_said_to_be_available_is_what_the_system_says() -> None:
    lines = Path("/proc/meminfo").read_text().splitlines()
    total = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal:"))
    assert 0 < available_memory() <= total


def test_an_empty_share_of_a_batch(store_path: Path) -> None:
    data = PairData(store_path, cache=Cache.device)
    images, _ = data._split("train")
    empty = images.read([], Buffers())
    regions = data._on_device["train"].read(empty.regions)
    assert regions.shape == (0, 1, data.feature_dim)
    assert np.array_equal(empty.counts, np.zeros(0))
