"""What each command runs: the typed schema of its configuration.

YAML holds values; these classes, and the groups in settings.py, hold their types and what is allowed.
`validate.py` checks one against the other and reports every fault at once.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from scan_lightning.choices import Split
from scan_lightning.limits import Limits, limited
from scan_lightning.settings import (
    MISSING,
    AttentionConfig,
    CheckpointingConfig,
    DataConfig,
    LoggerConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    TrainerConfig,
)


@dataclass
class TrainConfig:
    """What `scan-lightning train` runs.

    Attributes:
        seed: of the first weights and the order of pairs
        run_dir: the run's folder; under -m the parent of one subfolder a job
        resume: the checkpoint to go on from, or auto: run_dir's last.ckpt, from nothing where there is none
    """

    data: DataConfig = field(default_factory=DataConfig)
    attention: AttentionConfig = field(default_factory=AttentionConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)
    checkpointing: CheckpointingConfig = field(default_factory=CheckpointingConfig)
    seed: int = limited(0, at_least=0, at_most=2**32 - 1)
    run_dir: str = MISSING
    resume: str | None = None

    @property
    def effective_batch(self) -> int:
        """Pairs that an optimizer step takes, of all processes."""
        return self.data.batch_size * self.trainer.accumulate_grad_batches


@dataclass
class EvaluateConfig:
    """What `scan-lightning evaluate` runs.

    Attributes:
        checkpoint: the model, with its own settings, vocabulary and tokeniser
        split: which part of the store
        folds: consecutive equal parts of the split's images, ranked apart and averaged; 5 for COCO 1K
        run_dir: where results.json, results.csv and ranks.npz go; under -m one subfolder a job
    """

    checkpoint: str = MISSING
    data: DataConfig = field(default_factory=DataConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    split: Split = Split.test
    folds: int = limited(1, at_least=1)
    run_dir: str = MISSING


@dataclass
class EnsembleConfig:
    """What `scan-lightning ensemble` runs.

    Attributes:
        checkpoints: the models, each with its own settings, vocabulary and tokeniser
        weights: of each model in the average; []: all alike
        split: which part of the store
        folds: consecutive equal parts of the split's images, ranked apart and averaged; 5 for COCO 1K
        run_dir: where results.json, results.csv and ranks.npz go; under -m one subfolder a job
    """

    checkpoints: list[str] = field(default_factory=list)
    weights: list[float] = field(default_factory=list, metadata={"limits": Limits(above=0)})
    data: DataConfig = field(default_factory=DataConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    split: Split = Split.test
    folds: int = limited(1, at_least=1)
    run_dir: str = MISSING


def plain(config: object) -> dict[str, Any]:
    """A config as nested dictionaries of plain values, for YAML, JSON and checkpoints.

    The way back is `validate.build`.
    """
    values = _plain(asdict(config))  # type: ignore[call-overload]
    assert isinstance(values, dict)
    return values


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.value if isinstance(value, Enum) else value
