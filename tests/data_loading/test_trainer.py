"""ScanDataModule under a plain Trainer, with a module that only notes what it is given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from scan_lightning import CaptionBatch, ImageBatch, PairBatch, ScanDataModule, Store


class Notes(pl.LightningModule):
    """Notes the rows of every batch; its text encoder reads sentences as their lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.model = SimpleNamespace(
            text_encoder=SimpleNamespace(tokenize=lambda sentences: [[len(text)] for text in sentences])
        )
        self.epochs: list[list[list[int]]] = []
        self.seen: list[Any] = []

    def on_train_epoch_start(self) -> None:
        self.epochs.append([])

    def training_step(self, batch: PairBatch, batch_idx: int) -> torch.Tensor:
        if not self.epochs:  # resumed within an epoch
            self.epochs.append([])
        self.epochs[-1].append(batch.captions.caption_rows.tolist())
        return self.weight * batch.images.regions.float().mean()

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.seen.append(batch)

    test_step = predict_step = validation_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(folder: Path, **options: Any) -> pl.Trainer:
    given = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "max_epochs": 3}
    given |= {"enable_model_summary": False, "enable_checkpointing": False, "default_root_dir": folder}
    return pl.Trainer(**(given | options))


@pytest.fixture
def fit(store_path: Path, tmp_path: Path) -> Callable[..., Notes]:
    def run(ckpt_path: Path | None = None, **options: Any) -> Notes:
        module = Notes()
        data = ScanDataModule(store_path, batch_size=5)
        trainer(tmp_path, **options).fit(module, datamodule=data, ckpt_path=ckpt_path)
        return module

    return run


def plain_epochs(store_path: Path, count: int = 3) -> list[list[list[int]]]:
    loader = ScanDataModule(store_path, batch_size=5).train_dataloader()
    return [[batch.captions.caption_rows.tolist() for batch in loader] for _ in range(count)]


def test_epochs_are_those_of_the_loader(store_path: Path, fit: Callable[..., Notes]) -> None:
    epochs = plain_epochs(store_path)
    assert fit().epochs == epochs
    assert fit(limit_train_batches=2).epochs == [epoch[:2] for epoch in epochs]
    assert fit(overfit_batches=2).epochs == [epochs[0][:2]] * 3
    assert fit(val_check_interval=2).epochs == epochs


@pytest.mark.parametrize("limit", [1.0, 3])
def test_a_resumed_fit_is_the_unbroken_one(
    store_path: Path, tmp_path: Path, fit: Callable[..., Notes], limit: float
) -> None:
    unbroken = [batch for epoch in fit(limit_train_batches=limit).epochs for batch in epoch]
    saving = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=1, save_top_k=-1)
    fit(limit_train_batches=limit, callbacks=[saving], enable_checkpointing=True)
    for step in range(1, len(unbroken)):
        resumed = fit(ckpt_path=tmp_path / f"step={step}.ckpt", limit_train_batches=limit)
        assert [batch for epoch in resumed.epochs for batch in epoch] == unbroken[step:], step


def test_each_stage_reads_its_split(store_path: Path, tmp_path: Path) -> None:
    store, data = Store(store_path), ScanDataModule(store_path, test_split="train")
    for stage, split in (("validate", "val"), ("test", "train"), ("predict", "train")):
        module = Notes()
        getattr(trainer(tmp_path), stage)(module, datamodule=data)
        images = [batch for batch in module.seen if isinstance(batch, ImageBatch)]
        captions = [batch for batch in module.seen if isinstance(batch, CaptionBatch)]
        assert torch.cat([batch.image_rows for batch in images]).tolist() == store.image_rows(split).tolist()
        rows = torch.cat([batch.caption_rows for batch in captions])
        assert rows.tolist() == store.caption_rows(split).tolist()
        lengths = [len(text) for text in store.caption_text(rows.numpy())]
        assert torch.cat([batch.tokens[:, 0] for batch in captions]).tolist() == lengths
