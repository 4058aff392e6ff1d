"""What a run shows of itself every few epochs: where words look, and which queries it finds hardest.

Panels are looked at, never learnt from: a run with them computes the same weights as one without.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from PIL.Image import Image

from scan_lightning.data.datamodule import PairData
from scan_lightning.model.trained import TrainedModel
from scan_lightning.report.hardest import COLUMNS, hardest_queries
from scan_lightning.training.module import ScanModule
from scan_lightning.training.outcome import store_queries
from scan_lightning.training.panel_pictures import attention_picture
from scan_lightning.training.wandb_log import WandbLog

PICTURES = 4  # validation captions drawn, the same every time
QUERIES = 20  # hardest queries of each direction


class Panels(pl.Callback):
    """Logs `panel/attention/0` and so on and `panel/hardest` after every few epochs and after the last one.

    Args:
        data: of the run; pictures show captions of its validation split.
        every_epochs: how often, at least 1.
    """

    def __init__(self, data: PairData, every_epochs: int) -> None:
        self._data, self._every = data, every_epochs

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Ask for the best items of each query when this validation is shown."""
        assert isinstance(pl_module, ScanModule)
        pl_module.keep_top = self._due(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the panels."""
        assert isinstance(pl_module, ScanModule)
        if not (pl_module.keep_top and trainer.is_global_zero):
            return
        assert pl_module.ranks is not None
        hardest = hardest_queries(store_queries(self._data.store, "val", pl_module.ranks), QUERIES)
        pictures = self._pictures(pl_module)
        for logger in trainer.loggers:
            show(logger, pictures, hardest, step=trainer.global_step, epoch=trainer.current_epoch)

    def _due(self, trainer: pl.Trainer) -> bool:
        assert trainer.max_epochs is not None
        done = trainer.current_epoch + 1
        last = trainer.should_stop or done == trainer.max_epochs
        return trainer.state.fn == "fit" and (last or done % self._every == 0)

    def _pictures(self, module: ScanModule) -> list[tuple[Image, str]]:
        """Return pictures with the captions they show, spread over the validation split."""
        store, rows = self._data.store, self._data.store.caption_rows("val")
        lengths = np.diff(store.caption_offsets)
        rows = rows[lengths[rows] > 0]  # an empty caption shows nothing
        training = module.model.training
        model = TrainedModel(module.model, module.config, module.vocabulary, module.tokenizer)
        chosen = np.unique(np.linspace(0, len(rows) - 1, min(PICTURES, len(rows))).astype(np.int64))
        pictures = []
        for row, text in zip(rows[chosen], store.caption_text(rows[chosen]), strict=True):
            image = int(store.caption_image[row])
            pictures.append(
                (attention_picture(model, store, image, text), f"{store.image_id(image)}: {text}")
            )
        module.model.train(training)
        return pictures


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
        step: the optimizer step.
        epoch: counted from 0.
    """
    if isinstance(logger, WandbLog):
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
