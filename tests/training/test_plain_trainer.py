"""The module and the DataModule in anyone's Trainer: values equal to those of `evaluate`."""

from __future__ import annotations

import csv
import functools
import json
import math
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, StochasticWeightAveraging
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.tuner import Tuner
from small import make_evaluation, write_small
from torch.utils.data import DataLoader

import scan_lightning as scan
from scan_lightning.errors import ScanError, ScanWarning
from scan_lightning.training.callbacks.ema import EMA
from scan_lightning.training.evaluate import evaluate

IMAGES = 500  # of validation: several blocks of 128 images and of 512 captions


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "small.h5"
    return write_small(path, sizes={"train": 40, "val": IMAGES, "test": 30})


@pytest.fixture
def parts(store: Path) -> tuple[scan.ScanModule, scan.ScanDataModule]:
    return make(store)


def make(store: Path, **arguments: Any) -> tuple[scan.ScanModule, scan.ScanDataModule]:
    torch.manual_seed(0)
    data = scan.ScanDataModule(store, batch_size=28, word_threshold=1)
    model = scan.ScanModel(data.feature_dim, data.vocabulary, embed_size=16, word_size=12)
    arguments.setdefault("optimizer", functools.partial(torch.optim.AdamW, lr=1e-2))
    rule = scan.Attention("t2i", smoothing=9.0, aggregation="mean")
    return scan.ScanModule(model, similarity=rule, **arguments), data


def plain(tmp_path: Path, **arguments: Any) -> pl.Trainer:
    defaults: dict[str, Any] = {"accelerator": "cpu", "max_epochs": 2, "enable_progress_bar": False}
    defaults |= {"enable_model_summary": False, "default_root_dir": tmp_path / "root"}
    return pl.Trainer(**{**defaults, **arguments})


def evaluated(checkpoint: str | Path, store: Path, run_dir: Path, split: str = "val") -> dict[str, Any]:
    values = {"checkpoint": str(checkpoint), "data": {"path": str(store)}, "split": split}
    config = make_evaluation({**values, "trainer": {"accelerator": "cpu"}, "run_dir": str(run_dir)})
    return evaluate(config, run_dir)


def assert_logged(trainer: pl.Trainer, results: dict[str, Any], stage: str = "val") -> None:
    for side in ("i2t", "t2i"):
        for name, value in results[side].items():
            assert float(trainer.callback_metrics[f"{stage}/{side}/{name}"]) == value
    assert float(trainer.callback_metrics[f"{stage}/rsum"]) == results["rsum"]
    assert float(trainer.callback_metrics[f"{stage}/images"]) == results["images"]
    assert float(trainer.callback_metrics[f"{stage}/captions"]) == results["captions"]


def wrapped(module: scan.ScanModule) -> None:
    module.model.text_encoder = torch.compile(module.model.text_encoder, backend="eager")
    module.model.image_encoder = torch.compile(module.model.image_encoder, backend="eager")


EVERYTHING: dict[str, dict[str, Any]] = {
    "defaults": {},
    "limit_train_batches": {"limit_train_batches": 2},
    "val_check_interval": {"val_check_interval": 0.4},
    "check_val_every_n_epoch": {"check_val_every_n_epoch": 2},
    "overfit_batches": {"overfit_batches": 2},
    "bf16": {"precision": "bf16-mixed"},
    "clipping": {"gradient_clip_val": 2.0},
    "reload_dataloaders": {"reload_dataloaders_every_n_epochs": 1},
}


SLOW = ("bf16", "clipping", "reload_dataloaders")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in EVERYTHING]
)
def test_values_are_those_of_evaluate(store: Path, tmp_path: Path, name: str) -> None:
    module, data = make(store)
    monitor = ModelCheckpoint(tmp_path / "kept", monitor="val/rsum", mode="max", save_top_k=-1)
    trainer = plain(tmp_path, callbacks=[monitor], **EVERYTHING[name])
    trainer.fit(module, datamodule=data)
    trainer.save_checkpoint(tmp_path / "end.ckpt")
    results = evaluated(tmp_path / "end.ckpt", store, tmp_path / "again")
    if name == "overfit_batches":  # which limits validation, too
        assert trainer.callback_metrics["val/images"] == 2 * 128
        return
    if name != "val_check_interval":  # whose last validation came before the last step
        assert_logged(trainer, results)
    best = scan.ScanModule.load_from_checkpoint(monitor.best_model_path)
    found = plain(tmp_path).validate(best, datamodule=data, verbose=False)[0]
    assert found["val/rsum"] == float(monitor.best_model_score)  # type: ignore[arg-type]


def test_evaluation_by_the_trainer_is_evaluation_by_the_command(store: Path, tmp_path: Path) -> None:
    module, data = make(store)
    trainer = plain(tmp_path, max_epochs=1)
    trainer.fit(module, datamodule=data)
    checkpoint = trainer.checkpoint_callback.best_model_path  # type: ignore[union-attr]
    trainer.validate(module, datamodule=data, verbose=False)
    assert_logged(trainer, evaluated(checkpoint, store, tmp_path / "val"))
    trainer.test(module, datamodule=data, verbose=False)
    assert_logged(trainer, evaluated(checkpoint, store, tmp_path / "test", "test"), "test")
    assert module.ranks is not None
    blocks = trainer.predict(module, datamodule=data)
    assert blocks is not None
    images, captions = blocks
    loaded = scan.load(checkpoint)
    rows = torch.cat([block["rows"] for block in images])
    features, counts = data.store.read_regions(rows.numpy())
    wanted = loaded.encode_images(torch.from_numpy(features), torch.from_numpy(counts))
    got = torch.nn.utils.rnn.pad_sequence(
        [item[:n] for block in images for item, n in zip(block["embeddings"], block["counts"], strict=True)],
        batch_first=True,
    )
    torch.testing.assert_close(got, wanted)
    texts = data.store.caption_text(torch.cat([block["rows"] for block in captions]).numpy())
    torch.testing.assert_close(captions[0]["embeddings"], loaded.encode_captions(texts))


def test_an_incomplete_split_says_how_many_it_stands_for(store: Path, tmp_path: Path) -> None:
    """One block of 128 images and one of 512 captions, ranked again in NumPy."""
    module, data = make(store)
    trainer = plain(tmp_path, max_epochs=1, limit_val_batches=1)
    trainer.fit(module, datamodule=data)
    metrics = trainer.callback_metrics
    images, captions = data.store.image_rows("val")[:128], data.store.caption_rows("val")[:512]
    owners = data.store.caption_image[captions]
    assert metrics["val/images"] == 128
    assert metrics["val/captions"] == int(np.isin(owners, images).sum()) < 512
    trainer.save_checkpoint(tmp_path / "end.ckpt")
    features, counts = data.store.read_regions(images)
    scores = scan.load(tmp_path / "end.ckpt").similarity(
        features, data.store.caption_text(captions), region_counts=torch.from_numpy(counts)
    )
    table = scores.double().numpy()
    first = 0
    for row, image in enumerate(images):
        best_right = table[row, owners == image].max()
        first += int((table[row, owners != image] >= best_right).sum() == 0)
    assert float(metrics["val/i2t/r1"]) == pytest.approx(100 * first / 128, abs=1e-4)
    found = [
        int((np.delete(column, position) >= column[position]).sum() == 0)
        for column, owner in zip(table.T, owners, strict=True)
        for position in np.flatnonzero(images == owner)
    ]
    assert float(metrics["val/t2i/r1"]) == pytest.approx(100 * np.mean(found), abs=1e-4)


def test_fast_dev_run_keeps_nothing(parts: Any, tmp_path: Path) -> None:
    trainer = plain(tmp_path, fast_dev_run=True)
    trainer.fit(parts[0], datamodule=parts[1])
    assert trainer.global_step == 1
    assert not list(tmp_path.rglob("*.ckpt"))


def test_overfit_batches_sees_the_same_pairs(parts: Any, tmp_path: Path) -> None:
    seen: list[list[int]] = []

    class Notes(pl.Callback):
        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
            seen.append(batch.captions.caption_rows.tolist())

    trainer = plain(tmp_path, overfit_batches=2, max_epochs=3, callbacks=[Notes()])
    trainer.fit(parts[0], datamodule=parts[1])
    assert seen == seen[:2] * 3


def test_accumulation_keeps_lightnings_meaning_and_warns(parts: Any, tmp_path: Path) -> None:
    trainer = plain(tmp_path, accumulate_grad_batches=2)
    with pytest.warns(ScanWarning, match=r"loss\.micro_batches"):
        trainer.fit(parts[0], datamodule=parts[1])
    assert trainer.global_step == 2 * 3  # five batches an epoch


def test_micro_batches_are_the_same_batch(store: Path, tmp_path: Path) -> None:
    weights = []
    for micro_batches in (1, 4):
        module, data = make(store, loss=scan.TripletLoss(micro_batches=micro_batches))
        plain(tmp_path, max_epochs=1).fit(module, datamodule=data)
        weights.append(module.state_dict())
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-4, atol=1e-5)


def test_loggers_get_the_names_of_metrics_csv(parts: Any, tmp_path: Path) -> None:
    loggers = [CSVLogger(tmp_path, "csv"), TensorBoardLogger(tmp_path, "board")]
    trainer = plain(tmp_path, logger=loggers, log_every_n_steps=1)
    trainer.fit(parts[0], datamodule=parts[1])
    with (Path(loggers[0].log_dir) / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["train/lr"]) for row in rows if row["train/loss"]] == [pytest.approx(0.01)] * 10
    assert [row for row in rows if row["val/rsum"]][-1]["val/i2t/r1"]
    hparams = (Path(loggers[0].log_dir) / "hparams.yaml").read_text()
    assert "smoothing: 9.0" in hparams
    assert "bado" not in hparams  # a word of the vocabulary


def test_early_stopping_ends_the_run(parts: Any, tmp_path: Path) -> None:
    stopping = EarlyStopping("val/rsum", min_delta=1000.0, patience=1, mode="max")
    trainer = plain(tmp_path, max_epochs=10, callbacks=[stopping])
    trainer.fit(parts[0], datamodule=parts[1])
    assert trainer.current_epoch == 2


@pytest.mark.parametrize("kind", ["swa", "ema"])
def test_averaged_weights_are_evaluated(store: Path, tmp_path: Path, kind: str) -> None:
    module, data = make(store)
    callback = StochasticWeightAveraging(0.01, swa_epoch_start=1) if kind == "swa" else EMA(decay=0.9)
    trainer = plain(tmp_path, max_epochs=3, callbacks=[callback])
    trainer.fit(module, datamodule=data)
    metrics = dict(trainer.callback_metrics)
    trainer.save_checkpoint(tmp_path / "end.ckpt")
    results = evaluated(tmp_path / "end.ckpt", store, tmp_path / "again")
    if kind == "ema":  # SWA puts its averages in place after the last validation
        assert float(metrics["val/rsum"]) == results["rsum"]
    trainer.validate(module, datamodule=data, verbose=False)
    assert_logged(trainer, results)


def test_the_tuner_finds_and_sets_a_rate(parts: Any, tmp_path: Path) -> None:
    module, data = parts
    trainer = plain(tmp_path, max_epochs=20)
    found = Tuner(trainer).lr_find(module, datamodule=data, num_training=30)
    assert found is not None
    assert module.lr == found.suggestion()
    trainer.fit(module, datamodule=data)
    assert trainer.optimizers[0].param_groups[0]["lr"] == module.lr
    assert module.hparams["optimizer"]["lr"] == module.lr


def test_compiled_encoders_save_their_own_names(store: Path, tmp_path: Path) -> None:
    module, data = make(store)
    other, _ = make(store)
    wrapped(module)
    trainer = plain(tmp_path, max_epochs=1)
    trainer.fit(module, datamodule=data)
    path = trainer.checkpoint_callback.best_model_path  # type: ignore[union-attr]
    assert set(torch.load(path, weights_only=True)["state_dict"]) == set(other.state_dict())
    assert_logged(trainer, evaluated(path, store, tmp_path / "again"))
    again, _ = make(store)
    wrapped(again)
    plain(tmp_path, max_epochs=2).fit(again, datamodule=data, ckpt_path=path, weights_only=True)


def test_two_processes_are_one(store: Path, tmp_path: Path) -> None:
    rsums = []
    for devices in (1, 2):
        module, data = make(store)
        several = {"devices": devices, "strategy": "ddp_fork" if devices > 1 else "auto"}
        trainer = plain(tmp_path, max_epochs=1, **several)
        trainer.fit(module, datamodule=data)
        path = trainer.checkpoint_callback.best_model_path  # type: ignore[union-attr]
        rsums.append(evaluated(path, store, tmp_path / f"{devices}")["rsum"])
        assert float(trainer.callback_metrics["val/rsum"]) == rsums[-1]
    assert rsums[1] == pytest.approx(rsums[0], rel=0.02)


class Shuffled(pl.LightningDataModule):
    """A DataModule of one's own, with torch's loaders and blocks in any order."""

    def __init__(self, data: scan.ScanDataModule) -> None:
        super().__init__()
        self.data, self.store = data, data.store

    def _loader(self, batches: list[Any], shuffle: bool) -> DataLoader[Any]:
        return DataLoader(batches, batch_size=None, shuffle=shuffle)  # type: ignore[arg-type]

    def train_dataloader(self) -> Any:
        return self._loader(list(self.data.train_dataloader()), True)

    def val_dataloader(self) -> Any:
        return [self._loader(list(loader), True) for loader in self.data.val_dataloader()]


def test_a_data_module_of_ones_own_may_shuffle(store: Path, tmp_path: Path) -> None:
    module, data = make(store)
    trainer = plain(tmp_path, max_epochs=1)
    trainer.fit(module, datamodule=Shuffled(data))
    trainer.save_checkpoint(tmp_path / "end.ckpt")
    assert_logged(trainer, evaluated(tmp_path / "end.ckpt", store, tmp_path / "again"))


class Counting(pl.LightningModule):
    """A module of one's own on our DataModule."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(16, 1)
        self.pairs = 0

    def training_step(self, batch: scan.PairBatch, batch_idx: int) -> torch.Tensor:
        self.pairs += len(batch)
        return self.layer(batch.images.regions.float()).mean()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


def test_a_module_of_ones_own_runs_on_our_data(store: Path, tmp_path: Path) -> None:
    module = Counting()
    plain(tmp_path, max_epochs=2).fit(module, datamodule=scan.ScanDataModule(store, batch_size=28))
    assert module.pairs == 2 * 120


def test_what_a_checkpoint_cannot_hold_is_refused_when_the_module_is_made(store: Path) -> None:
    with pytest.raises(ScanError, match=r"optimizer: .*cannot be kept in a checkpoint"):
        make(store, optimizer=lambda parameters: torch.optim.SGD(parameters, 0.1))


def test_load_from_checkpoint_needs_nothing(store: Path, tmp_path: Path) -> None:
    module, data = make(store, loss=scan.TripletLoss(margin=0.3, negatives="all"))
    trainer = plain(tmp_path, max_epochs=1)
    trainer.fit(module, datamodule=data)
    path = trainer.checkpoint_callback.best_model_path  # type: ignore[union-attr]
    loaded = scan.ScanModule.load_from_checkpoint(path)
    assert loaded.similarity == module.similarity
    assert loaded.loss.margin == 0.3
    assert loaded.hparams == module.hparams
    assert json.dumps(dict(loaded.hparams))  # plain values
    for name, tensor in module.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain(tmp_path, max_epochs=2).fit(loaded, datamodule=data)
    assert math.isfinite(float(loaded.state_dict()["model.image_encoder.fc.bias"].sum()))
