"""Learning-rate schedules with linear warm-up, set anew at every optimizer step.

`total_steps` and `epoch_steps` (optimizer steps of the run and of an epoch) come from the Trainer.
"""

from __future__ import annotations

import math
from typing import Annotated

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from scan_lightning.options import Range, check_arguments


class StepSchedule(LambdaLR):
    """The base of schedules that know the length of the run; a constant rate after a linear warm-up.

    Args:
        optimizer: whose rate is set
        warmup_steps: optimizer steps over which the rate rises linearly to its full value
        total_steps: optimizer steps of the run, 0: not known; the Trainer's
        epoch_steps: optimizer steps of an epoch; the Trainer's
    """

    def __init__(
        self,
        optimizer: Optimizer,
        warmup_steps: Annotated[int, Range(at_least=0)] = 0,
        *,
        total_steps: int = 0,
        epoch_steps: int = 1,
    ) -> None:
        check_arguments(StepSchedule, {"warmup_steps": warmup_steps})
        self.warmup_steps, self.total_steps, self.epoch_steps = warmup_steps, total_steps, epoch_steps
        super().__init__(optimizer, self._factor)

    def factor(self, step: int) -> float:
        """The rate of a step after the warm-up, relative to the full one."""
        return 1.0

    def _factor(self, step: int) -> float:
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        return self.factor(step)

    def state_dict(self) -> dict[str, object]:
        """The state without the length of the run, which a resumed run may change."""
        state = super().state_dict()
        own = ("warmup_steps", "total_steps", "epoch_steps", "decay_epoch", "decay_factor", "final_factor")
        return {name: value for name, value in state.items() if name not in own}


class ConstantSchedule(StepSchedule):
    """A constant rate after a linear warm-up."""


class StepDecay(StepSchedule):
    """The released schedule: the rate is multiplied once, from an epoch on.

    Args:
        optimizer: whose rate is set
        decay_epoch: from this epoch on (the first is 0) the rate is multiplied by decay_factor
        decay_factor: what the rate is multiplied by, once
        warmup_steps: optimizer steps over which the rate rises linearly to its full value
        total_steps: optimizer steps of the run; the Trainer's
        epoch_steps: optimizer steps of an epoch; the Trainer's
    """

    def __init__(
        self,
        optimizer: Optimizer,
        decay_epoch: Annotated[int, Range(at_least=1)] = 15,
        decay_factor: Annotated[float, Range(above=0, at_most=1)] = 0.1,
        warmup_steps: Annotated[int, Range(at_least=0)] = 0,
        *,
        total_steps: int = 0,
        epoch_steps: int = 1,
    ) -> None:
        check_arguments(StepDecay, {"decay_epoch": decay_epoch, "decay_factor": decay_factor})
        self.decay_epoch, self.decay_factor = decay_epoch, decay_factor
        super().__init__(optimizer, warmup_steps, total_steps=total_steps, epoch_steps=epoch_steps)

    def factor(self, step: int) -> float:
        """1, or `decay_factor` from `decay_epoch` on."""
        return self.decay_factor if step >= self.decay_epoch * self.epoch_steps else 1.0


class CosineDecay(StepSchedule):
    """Half a cosine from the full rate to `final_factor` of it at the end of the run.

    Args:
        optimizer: whose rate is set
        final_factor: the rate at the end, relative to the full one
        warmup_steps: optimizer steps over which the rate rises linearly to its full value
        total_steps: optimizer steps of the run; the Trainer's
        epoch_steps: optimizer steps of an epoch; the Trainer's
    """

    def __init__(
        self,
        optimizer: Optimizer,
        final_factor: Annotated[float, Range(at_least=0, at_most=1)] = 0.0,
        warmup_steps: Annotated[int, Range(at_least=0)] = 0,
        *,
        total_steps: int = 0,
        epoch_steps: int = 1,
    ) -> None:
        check_arguments(CosineDecay, {"final_factor": final_factor})
        self.final_factor = final_factor
        super().__init__(optimizer, warmup_steps, total_steps=total_steps, epoch_steps=epoch_steps)

    def factor(self, step: int) -> float:
        """Half a cosine between 1 and `final_factor`."""
        length = max(1, self.total_steps - self.warmup_steps)
        done = min(1.0, (step - self.warmup_steps) / length)
        return self.final_factor + (1 - self.final_factor) * (1 + math.cos(math.pi * done)) / 2
