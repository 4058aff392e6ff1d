"""The typed schema of `conf/`: one dataclass per group, one enum per closed list of values.

YAML holds values, this file holds their types and what is allowed; `validate.py` checks one against the
other and reports every fault at once. The defaults here are the released recipe (reference: Lee et al.,
ECCV 2018, and its code); `conf/` repeats them so that a reader sees every knob in one place.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from scan_lightning.choices import (
    Accelerator,
    Aggregation,
    Cache,
    Direction,
    LoggerKind,
    Negatives,
    NegativesScope,
    Precision,
    RawNorm,
    Rule,
    Split,
    Strategy,
)
from scan_lightning.limits import Limits, limited

MISSING = "???"  # OmegaConf's mark of a value that the user has to give


@dataclass
class DataConfig:
    """The store and how batches are read from it."""

    path: str = MISSING
    batch_size: int = limited(
        128, at_least=1
    )  # the global batch, split over ranks; the last partial batch is kept
    workers: int = limited(0, at_least=0)
    cache: Cache = Cache.none
    word_threshold: int = limited(
        4, at_least=1
    )  # a word enters the vocabulary when train (+ val) captions hold it this often


@dataclass
class AttentionConfig:
    """The similarity of an image and a caption (paper, sections 3.1 and 3.2)."""

    rule: Rule = Rule.attention
    direction: Direction = Direction.t2i
    smoothing: float = limited(9.0, above=0)  # lambda_1, inverse temperature of the attention softmax
    raw_norm: RawNorm = RawNorm.clipped_l2norm
    aggregation: Aggregation = Aggregation.mean
    lse_scale: float = limited(6.0, above=0)  # lambda_2, inverse temperature of LogSumExp pooling


@dataclass
class ModelConfig:
    """The two encoders."""

    embed_size: int = limited(1024, at_least=1)
    word_size: int = limited(300, at_least=1)
    bidirectional: bool = True
    normalize_regions: bool = True
    normalize_words: bool = True
    weight_norm: bool = False  # weight-normalised region projection


@dataclass
class LossConfig:
    """The triplet loss (paper, section 3.3)."""

    margin: float = limited(0.2, at_least=0)
    negatives: Negatives = Negatives.hardest
    warmup_steps: int = limited(0, at_least=0)  # first optimizer steps with all negatives
    negatives_scope: NegativesScope = NegativesScope.whole_batch  # local: each process's own share only
    large_batch: bool = False  # one loss over all accumulated batches, which are encoded one after the other


@dataclass
class OptimizerConfig:
    """Adam, one step of decay, gradient clipping by norm."""

    lr: float = limited(2e-4, above=0)
    decay_epoch: int = limited(15, at_least=1)  # from this epoch on lr * decay_factor
    decay_factor: float = limited(0.1, above=0, at_most=1)
    clip_norm: float = limited(2.0, above=0)


@dataclass
class TrainerConfig:
    """Devices and length of a run."""

    accelerator: Accelerator = Accelerator.auto
    strategy: Strategy = Strategy.auto
    devices: int = limited(1, at_least=1, special=-1, special_meaning="all there are")
    nodes: int = limited(1, at_least=1)
    precision: Precision = Precision.fp32
    accumulate_grad_batches: int = limited(1, at_least=1)  # batches of data.batch_size an optimizer step
    max_epochs: int = limited(30, at_least=1)
    max_steps: int = limited(-1, at_least=1, special=-1, special_meaning="no limit")


@dataclass
class LoggerConfig:
    """The logger besides metrics.csv."""

    kind: LoggerKind = LoggerKind.csv
    project: str = "scan-lightning"
    entity: str | None = None
    name: str | None = None
    group: str | None = None
    tags: list[str] = field(default_factory=list)
    panel_every_epochs: int = limited(0, at_least=0)  # attention pictures, hardest queries; 0: never
    log_checkpoints: bool = False  # wandb only: best.ckpt and last.ckpt as an artifact


@dataclass
class CheckpointingConfig:
    """When the state is saved besides the end of each epoch, and how many of those are kept."""

    every_steps: int = limited(0, at_least=0)  # 0: at the end of each epoch only
    keep: int = limited(1, at_least=1)


@dataclass
class TrainConfig:
    """What `scan-lightning train` runs."""

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
    resume: str | None = None  # a checkpoint's path, or "auto"

    @property
    def effective_batch(self) -> int:
        """Pairs that an optimizer step takes, of all processes."""
        return self.data.batch_size * self.trainer.accumulate_grad_batches


@dataclass
class EvaluateConfig:
    """What `scan-lightning evaluate` runs."""

    checkpoint: str = MISSING
    data: DataConfig = field(default_factory=DataConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    split: Split = Split.test
    folds: int = limited(1, at_least=1)  # 5: the mean over five folds of the split (COCO 1K)
    run_dir: str = MISSING


@dataclass
class EnsembleConfig:
    """What `scan-lightning ensemble` runs."""

    checkpoints: list[str] = field(default_factory=list)
    weights: list[float] = field(default_factory=list, metadata={"limits": Limits(above=0)})  # none: equal
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
