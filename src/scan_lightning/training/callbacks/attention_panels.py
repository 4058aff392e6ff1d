"""Pictures of attention and the hardest queries, logged every few epochs.

A run with panels computes the same weights as one without.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from PIL.Image import Image

from scan_lightning.data.store import Store
from scan_lightning.model.trained import TrainedModel
from scan_lightning.options import Range, check_arguments
from scan_lightning.report.hardest import COLUMNS, hardest_queries
from scan_lightning.retrieval.queries import TOP_K
from scan_lightning.training.callbacks.panel_pictures import attention_picture
from scan_lightning.training.loggers.wandb_run import WandbRun
from scan_lightning.training.module import ScanModule
from scan_lightning.training.results import store_queries

PICTURES = 4  # validation captions drawn, the same every time
QUERIES = 20  # hardest queries of each direction


class AttentionPanels(pl.Callback):
    """Logs `panel/attention/0` and so on and `panel/hardest` to wandb and TensorBoard, after validations.

    It shows captions of the validation split of the DataModule's `store`; without one it shows nothing.

    Args:
        every_epochs: epochs between two panels; the last epoch has them too
    """

    def __init__(self, every_epochs: Annotated[int, Range(at_least=1)] = 5) -> None:
        check_arguments(AttentionPanels, {"every_epochs": every_epochs})
        self.every_epochs = every_epochs
        self._shown = False

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Ask for the best items of each query when this validation is shown."""
        assert isinstance(pl_module, ScanModule)
        self._shown = self._due(trainer)
        if self._shown:
            pl_module.top_k = max(pl_module.top_k, TOP_K)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the panels."""
        assert isinstance(pl_module, ScanModule)
        store = _store(trainer)
        if not self._shown:
            return
        pl_module.top_k = 0
        if store is None or not trainer.is_global_zero or pl_module.ranks is None:
            return
        complete = len(pl_module.ranks.t2i) == len(store.caption_rows("val"))
        rows = []
        if complete:
            rows = hardest_queries(store_queries(store, "val", pl_module.ranks), QUERIES)
        pictures = self._pictures(pl_module, store)
        for logger in trainer.loggers:  # with the row of this validation, which Lightning numbers from 0
            show(logger, pictures, rows, step=trainer.global_step, epoch=trainer.current_epoch)

    def _due(self, trainer: pl.Trainer) -> bool:
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return False
        done = trainer.current_epoch + 1
        return trainer.should_stop or done == trainer.max_epochs or done % self.every_epochs == 0

    def _pictures(self, module: ScanModule, store: Store) -> list[tuple[Image, str]]:
        """Return pictures with the captions they show, spread over the validation split."""
        rows = store.caption_rows("val")
        lengths = np.diff(store.caption_offsets)
        rows = rows[lengths[rows] > 0]  # an empty caption shows nothing
        training = module.training
        model = TrainedModel(module.model, module.similarity)
        chosen = np.unique(np.linspace(0, len(rows) - 1, min(PICTURES, len(rows))).astype(np.int64))
        pictures = []
        for row, text in zip(rows[chosen], store.caption_text(rows[chosen]), strict=True):
            image = int(store.caption_image[row])
            pictures.append(
                (attention_picture(model, store, image, text), f"{store.image_id(image)}: {text}")
            )
        module.train(training)
        return pictures


def _store(trainer: pl.Trainer) -> Store | None:
    store = getattr(getattr(trainer, "datamodule", None), "store", None)
    return store if isinstance(store, Store) else None


def show(
    logger: Logger,
    pictures: Sequence[tuple[Image, str]],
    rows: Sequence[Sequence[Any]],
    *,
    step: int,
    epoch: int,
) -> None:
    """Hand the panels to a logger, in its own form.

    Args:
        logger: wandb's or TensorBoard's; another is given nothing.
        pictures: each with its caption.
        rows: of the table, under `COLUMNS`.
        step: Lightning's count of optimizer steps before this one.
        epoch: counted from 0.
    """
    if isinstance(logger, WandbRun):
        import wandb

        media = {
            f"panel/attention/{number}": wandb.Image(picture, caption=caption)
            for number, (picture, caption) in enumerate(pictures)
        }
        table = wandb.Table(list(COLUMNS), [list(row) for row in rows])
        logger.log_metrics({"epoch": epoch, **media, "panel/hardest": table}, step=step)
    elif isinstance(logger, TensorBoardLogger):
        writer = logger.experiment
        for number, (picture, _) in enumerate(pictures):
            pixels = np.asarray(picture.convert("RGB"))
            writer.add_image(f"panel/attention/{number}", pixels, step, dataformats="HWC")
        writer.add_text("panel/hardest", _markdown(rows), step)


def _markdown(rows: Sequence[Sequence[Any]]) -> str:
    lines = [COLUMNS, ["---"] * len(COLUMNS), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    text = f"{value:.4f}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|")
