"""The callback that ends a run whose loss is NaN, and hints at one whose loss does not leave its plateau.

| what is seen                                  | what happens                                               |
|-----------------------------------------------|------------------------------------------------------------|
| loss or gradient norm is NaN or infinite      | the run ends with one message; no such state is ever saved |
| loss stays at the value of equal similarities | one warning; a healthy run may rest there before it leaves |

When all similarities are equal, every term of the triplet loss is the margin: with hardest negatives a batch
of n pairs has two terms a pair, 2 n margin in all (51.2 for 128 pairs), with all negatives 2 n (n - 1) terms.
"""

from __future__ import annotations

import math
import warnings
from collections import deque
from typing import Any

import lightning.pytorch as pl
import torch

from scan_lightning.errors import ScanError, ScanWarning
from scan_lightning.training.callbacks.checkpoints import LastCheckpoint
from scan_lightning.training.loss import TripletLoss

GPU_STEPS = 50  # steps between two looks at a GPU's results: each look waits for it
WINDOW = 200  # steps that a plateau is judged by; half an epoch when that is shorter
SHORTEST = 10
NEAR = 0.01  # relative distance at which a loss counts as the plateau's
SHARE = 0.9  # of the window's steps that must be near; a healthy run on Flickr8K rested with 0.68 at most


class NaNMonitor(pl.Callback):
    """Watches the loss and the gradient norm of every step, in any Trainer."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, torch.Tensor]] = []
        self._near: deque[bool] = deque(maxlen=WINDOW)
        self._hinted = False
        self._look_every = 1

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Judge by half an epoch where that is shorter than the window; look less often at a GPU."""
        self._look_every = GPU_STEPS if pl_module.device.type == "cuda" else 1
        half = int(trainer.num_training_batches) // 2
        self._near = deque(maxlen=min(WINDOW, max(SHORTEST, half)))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note a step, and look when that does not hold up the device."""
        loss = outputs.get("train/loss", outputs["loss"]).detach().float()
        norm = trainer.callback_metrics.get("train/grad_norm", loss).to(loss)
        pairs = outputs.get("train/pairs", loss.new_zeros(())).float()
        self._waiting.append((trainer.global_step, torch.stack([loss, pairs, norm])))
        if len(self._waiting) >= self._look_every:
            self._look(trainer, pl_module)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look before weights that may be NaN are validated."""
        self._look(trainer, pl_module)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Look before anything is written: what raises here leaves the last good checkpoint as it is."""
        self._look(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run has to know."""
        return {"hinted": self._hinted}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Do not hint again."""
        self._hinted = state_dict["hinted"]

    def _look(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Judge the steps that wait.

        Raises:
            ScanError: a loss or a gradient is not finite.
        """
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        loss_module = getattr(module, "loss", None)
        for (step, _), (loss, pairs, norm) in zip(
            waiting, torch.stack([row for _, row in waiting]).tolist(), strict=True
        ):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise self._diverged(trainer, module, step, loss, norm)
            value = _plateau(loss_module, pairs, step, trainer.world_size)
            self._near.append(value > 0 and abs(loss - value) <= NEAR * value)
        window = self._near
        full = len(window) == window.maxlen
        if not self._hinted and full and sum(window) >= SHARE * len(window):
            self._hinted = True
            if trainer.is_global_zero:
                warnings.warn(self._hint(trainer, module, waiting[-1][0], pairs), stacklevel=2)

    def _diverged(
        self, trainer: pl.Trainer, module: pl.LightningModule, step: int, loss: float, norm: float
    ) -> ScanError:
        what, value = ("loss", loss) if not math.isfinite(loss) else ("norm of the gradient", norm)
        last = next((c for c in trainer.checkpoint_callbacks if isinstance(c, LastCheckpoint)), None)
        saved = last is not None and last.saved_step >= 0
        kept = (
            f"the state of step {last.saved_step} is complete in {last.dirpath}/last.ckpt"  # type: ignore[union-attr]
            if saved
            else "nothing was saved before"
        )
        seen = f"the {what} was {value} at step {step}"
        path = getattr(getattr(getattr(trainer, "datamodule", None), "store", None), "path", None)
        check = f"`scan-lightning data check {path}`" if path else "a check of the features"
        if step == 1:  # nothing has been learnt yet, so the rate is not to blame
            return ScanError(
                f"{path or 'features'}: {seen}, before anything was learnt; expected finite features. "
                f"First of all, {check} tells which are not. If all are, they are too large for this model: "
                "scale them down, or leave model.normalize_regions and model.normalize_words on"
            )
        rate = _rate(trainer)
        smaller = min(rate / 10, 1e-3)
        return ScanError(
            f"optimizer.lr={rate:g}: training has diverged, {seen}; {kept}. "
            f"Start a new run with a smaller rate (optimizer.lr={smaller:g}) or a warm-up with all "
            f"negatives (loss.warmup_steps={_warmup(trainer)}); {check} tells whether the features are "
            "complete"
        )

    def _hint(self, trainer: pl.Trainer, module: pl.LightningModule, step: int, pairs: float) -> ScanWarning:
        every = module.loss.negatives_at(step - 1) == "all"  # type: ignore[union-attr, operator]
        formula = "2 x batch x (batch - 1) x margin" if every else "2 x batch x margin"
        value = _plateau(module.loss, pairs, step, trainer.world_size)
        warm = "" if every else f"a warm-up with all negatives (loss.warmup_steps={_warmup(trainer)}) or "
        return ScanWarning(
            f"step {step}: the loss has stayed at {formula} ({value:g} for {pairs:g} pairs) over "
            f"{self._near.maxlen} steps, its value when all similarities are equal. A run may stay there for "
            "some time and then leave; if val/rsum does not rise either, the embeddings have collapsed: "
            f"start again with {warm}a smaller rate (optimizer.lr={_rate(trainer) / 2:g})"
        )


def _plateau(loss: Any, pairs: float, step: int, world_size: int) -> float:
    """The triplet loss of a batch whose similarities are all equal; 0 for another loss."""
    if not isinstance(loss, TripletLoss):
        return 0.0
    others = 1.0
    if loss.negatives_at(step - 1) == "all":
        others = pairs / (world_size if loss.negatives_scope == "local" else 1) - 1
    return 2 * pairs * others * loss.margin


def _warmup(trainer: pl.Trainer) -> int:
    """Steps of a warm-up that fits the length of the run: an epoch, at most a quarter of the run."""
    total = trainer.estimated_stepping_batches
    return max(1, int(min(trainer.num_training_batches, total / 4 if total > 0 else math.inf)))


def _rate(trainer: pl.Trainer) -> float:
    return float(trainer.optimizers[0].param_groups[0]["lr"])
