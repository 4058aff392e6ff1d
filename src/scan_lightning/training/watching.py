"""The callback that watches the loss: ends a run that has diverged, hints at one that has collapsed.

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
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from scan_lightning.choices import Negatives, NegativesScope
from scan_lightning.config import TrainConfig
from scan_lightning.errors import ScanError, ScanWarning
from scan_lightning.training.module import ScanModule
from scan_lightning.training.saving import Saving

GPU_STEPS = 50  # steps between two looks at a GPU's results: each look waits for it
WINDOW = 200  # steps that a collapse is judged by; an epoch when that is shorter
NEAR = 0.01  # relative distance at which a loss counts as the collapsed value
SHARE = 0.9  # of the window's steps that must be near; a healthy run on Flickr8K rested with 0.68 at most


class Watch(pl.Callback):
    """Looks at the loss and gradient of every step.

    Args:
        config: of the run.
        saving: knows what was saved last.
    """

    def __init__(self, config: TrainConfig, saving: Saving) -> None:
        self.config, self._saving = config, saving
        self._waiting: list[tuple[int, bool, list[Tensor]]] = []
        self._near: deque[bool] = deque(maxlen=WINDOW)
        self._hinted = False
        self._look_every = 1

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Judge by an epoch where that is shorter than the window; look less often at a GPU."""
        self._look_every = GPU_STEPS if pl_module.device.type == "cuda" else 1
        self._near = deque(maxlen=min(WINDOW, int(trainer.num_training_batches)))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note a step, and look when that does not hold up the device."""
        assert isinstance(pl_module, ScanModule)
        step = trainer.global_step
        loss = self.config.loss
        every = loss.negatives is Negatives.all or step <= loss.warmup_steps
        norm = torch.as_tensor(pl_module.step_values["train/grad_norm"], device=pl_module.device)
        figures = [outputs["train/loss"], outputs["train/pairs"], norm]
        self._waiting.append((step, every, [figure.detach().float() for figure in figures]))
        if len(self._waiting) >= self._look_every:
            self._look(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look before weights that may be NaN are validated."""
        self._look(trainer)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Look before anything is written: what raises here leaves the last good checkpoint as it is."""
        self._look(trainer)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run has to know."""
        return {"hinted": self._hinted}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Do not say again what was said."""
        self._hinted = state_dict["hinted"]

    def _look(self, trainer: pl.Trainer) -> None:
        """Judge the steps that wait.

        Raises:
            ScanError: a loss or a gradient is not finite.
        """
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        rows = torch.stack([torch.stack(figures) for _, _, figures in waiting]).tolist()
        for (step, every, _), (loss, pairs, norm) in zip(waiting, rows, strict=True):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise self._diverged(step, loss, norm)
            value = self._collapsed_value(pairs, every, trainer.world_size)
            self._near.append(value > 0 and abs(loss - value) <= NEAR * value)
        window = self._near
        if not self._hinted and len(window) == window.maxlen and sum(window) >= SHARE * len(window):
            self._hinted = True
            if trainer.is_global_zero:
                warnings.warn(self._hint(*waiting[-1][:2], trainer.world_size), stacklevel=2)

    def _collapsed_value(self, pairs: float, every: bool, world_size: int) -> float:
        """The loss of a batch whose similarities are all equal."""
        others = 1.0
        if every:
            own = self.config.loss.negatives_scope is NegativesScope.own_share
            others = pairs / (world_size if own else 1) - 1
        return 2 * pairs * others * self.config.loss.margin

    def _diverged(self, step: int, loss: float, norm: float) -> ScanError:
        what, value = ("loss", loss) if not math.isfinite(loss) else ("norm of the gradient", norm)
        saved = self._saving.saved_step
        path = Path(self._saving.last_model_path)
        kept = f"the state of step {saved} is whole in {path}" if saved >= 0 else "nothing was saved before"
        seen = f"the {what} was {value} at step {step}"
        check = f"`scan-lightning data check {self.config.data.path}`"
        if step == 1:  # nothing has been learnt yet, so the rate is not to blame
            return ScanError(
                f"{self.config.data.path}: {seen}, before anything was learnt; expected finite features. "
                f"First of all, {check} tells which are not. If all are, they are too large for this model: "
                "scale them down, or leave model.normalize_regions and model.normalize_words on"
            )
        rate, warmup = self.config.optimizer.lr, self.config.loss.warmup_steps
        longer = f"loss.warmup_steps={2 * warmup or 1000}"
        return ScanError(
            f"optimizer.lr={rate:g}: training has diverged, {seen}; {kept}. "
            f"Start a new run with a smaller rate (optimizer.lr={rate / 10:g}) or a warm-up with all "
            f"negatives ({longer}); {check} tells whether the features are whole"
        )

    def _hint(self, step: int, every: bool, world_size: int) -> ScanWarning:
        value = self._collapsed_value(self.config.effective_batch, every, world_size)
        formula = "2 x batch x (batch - 1) x margin" if every else "2 x batch x margin"
        warm = "" if every else f"a warm-up with all negatives (loss.warmup_steps={self._near.maxlen}) or "
        return ScanWarning(
            f"step {step}: the loss has stayed at {formula} ({value:g} for a whole batch) over "
            f"{self._near.maxlen} steps, its value when all similarities are equal. A run may rest there and "
            "then leave; if val/rsum does not rise either, the embeddings have collapsed: start again with "
            f"{warm}a smaller rate (optimizer.lr={self.config.optimizer.lr / 2:g})"
        )
