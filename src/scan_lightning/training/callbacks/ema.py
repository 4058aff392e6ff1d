"""Exponential moving averages of the weights, evaluated and saved in place of the weights."""

from __future__ import annotations

import lightning.pytorch as pl
from lightning.pytorch.callbacks import EMAWeightAveraging


class EMA(EMAWeightAveraging):
    """Lightning's callback, with the averages in place until a validation has been ranked.

    Lightning takes them back before the module's `on_validation_epoch_end`, in which the split is ranked by a
    similarity that may have parameters; and a checkpoint saved within a validation would hold both the wrong
    way round.

    Args:
        decay: of the average, at each optimizer step
        update_every_n_steps: optimizer steps between two updates
        update_starting_at_step: the first step that is averaged; null: from the start
    """

    def __init__(
        self,
        decay: float = 0.999,
        update_every_n_steps: int = 1,
        update_starting_at_step: int | None = None,
    ) -> None:
        super().__init__(
            use_buffers=False,  # an average of integers would be cut to integers
            decay=decay,
            update_every_n_steps=update_every_n_steps,
            update_starting_at_step=update_starting_at_step,
        )
        self._swapped = False

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the averages in place."""
        if self._average_model is not None and not self._swapped:
            self._swap_models(pl_module)
            self._swapped = True

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave them for the ranking."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the weights back."""
        if self._swapped:
            self._swap_models(pl_module)
            self._swapped = False

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Put the weights back before a validation that was stopped is saved."""
        self.on_validation_end(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the weights for a checkpoint of the end."""

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the module with the averages."""
        self._copy_average_to_current(pl_module)
