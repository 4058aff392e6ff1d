"""`data.cache=device`: the streamed batches, gathered on the device; splits that do not fit are refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from scan_lightning.cli import main
from scan_lightning.data import cache as cache_module
from scan_lightning.data.batches import PairBatch
from scan_lightning.data.datamodule import ScanDataModule
from scan_lightning.data.store import Store
from scan_lightning.errors import ScanError
from scan_lightning.units import size_text

CPU = torch.device("cpu")


def batches_of(data: ScanDataModule) -> list[PairBatch]:
    loaders = [data.train_dataloader(), *data.val_dataloader(), *data.predict_dataloader()]
    return [data.transfer_batch_to_device(batch, CPU, 0) for loader in loaders for batch in loader]


def tensors(batch: object) -> list[torch.Tensor]:
    parts = vars(batch).values()
    return [
        tensor for part in parts for tensor in ([part] if isinstance(part, torch.Tensor) else tensors(part))
    ]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_those_of_the_stream(store_path: Path, workers: int) -> None:
    expected = batches_of(ScanDataModule(store_path, batch_size=7, seed=3))
    found = batches_of(ScanDataModule(store_path, batch_size=7, seed=3, workers=workers, cache="device"))
    assert len(found) == len(expected) > 5
    for one, other in zip(found, expected, strict=True):
        assert type(one) is type(other)
        for a, b in zip(tensors(one), tensors(other), strict=True):
            assert a.dtype == b.dtype
            assert torch.equal(a, b)


def test_a_split_is_loaded_once(store_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []
    original = cache_module.DeviceRegions.__init__
    monkeypatch.setattr(
        cache_module.DeviceRegions,
        "__init__",
        lambda self, store, split, *a, **k: (loads.append(split), original(self, store, split, *a, **k))[1],
    )
    data = ScanDataModule(store_path, cache="device")
    for _ in range(3):
        batches_of(data)
    assert sorted(loads) == ["test", "train", "val"]


def bytes_of(store: Store, split: str) -> int:
    rows = store.image_rows(split)
    counts = store.region_offsets[rows + 1] - store.region_offsets[rows]
    return int(counts.sum()) * store.feature_dim * 2


def test_a_run_whose_splits_do_not_fit_together_is_refused_before_one_is_loaded(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, val, test = (bytes_of(Store(store_path), split) for split in ("train", "val", "test"))
    monkeypatch.setattr(cache_module, "available_on", lambda _: train + val - 1)
    data = ScanDataModule(store_path, cache="device")
    data.trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("cuda")))  # type: ignore[assignment]
    with pytest.raises(ScanError) as caught:
        data.setup("fit")
    message = str(caught.value)
    sizes = f"{size_text(train + val)} (train {size_text(train)} + val {size_text(val)})"
    assert f"data.cache=device: the regions of {store_path} need {sizes}" in message
    assert f"{size_text(train + val - 1)} are free; give data.cache=none" in message
    data.setup("validate")
    monkeypatch.setattr(cache_module, "available_on", lambda _: train + val)
    data.setup("fit")
    monkeypatch.setattr(cache_module, "available_on", lambda _: test - 1)
    for stage in ("test", "predict"):
        with pytest.raises(ScanError, match="test"):
            data.setup(stage)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["trainer=cpu"], "data.cache: device, a GPU, with trainer.accelerator=cpu; give data.cache=none"),
        pytest.param(
            [],
            "data.cache=device: holds the regions on a GPU, but this run computes on the CPU; give",
            marks=pytest.mark.skipif(torch.accelerator.is_available(), reason="there is a GPU"),
        ),
    ],
)
def test_the_device_must_be_there(
    store_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], expected: str
) -> None:
    run_dir = tmp_path / "run"
    assert main(["train", f"data.path={store_path}", "data.cache=device", f"run_dir={run_dir}", *words]) == 2
    err = capsys.readouterr().err
    assert f"error: {expected}" in err
    assert "loading" not in err
    assert not (run_dir / "metrics.csv").exists()


def test_the_memory_said_to_be_available_is_what_the_system_says() -> None:
    lines = Path("/proc/meminfo").read_text().splitlines()
    total = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal:"))
    assert 0 < cache_module.available_on(CPU) <= total


def test_an_empty_share_of_a_batch(store_path: Path) -> None:
    data = ScanDataModule(store_path, cache="device")
    empty = data.transfer_batch_to_device(data._images("train").read([]), CPU, 0)
    assert empty.regions.shape == (0, 1, data.feature_dim)
    assert empty.regions.dtype == torch.float16
    assert empty.counts.shape == empty.image_rows.shape == (0,)
