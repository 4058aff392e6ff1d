"""The typed schema of `conf/`: one dataclass per group, one enum per closed list of values.

YAML holds values, this file holds their types and what is allowed; `validate.py` checks one against the
other and reports every fault at once. The defaults here are the released recipe (reference: Lee et al.,
ECCV 2018, and its code); `conf/` repeats them so that a reader sees every knob in one place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from omegaconf import MISSING


class Direction(StrEnum):
    """Which side asks: words query regions (t2i) or regions query words (i2t)."""

    t2i = "t2i"
    i2t = "i2t"


class RawNorm(StrEnum):
    """How raw scores are normalised along the query axis, before the softmax."""

    clipped_l2norm = "clipped_l2norm"
    l2norm = "l2norm"
    clipped_l1norm = "clipped_l1norm"
    l1norm = "l1norm"
    clipped = "clipped"
    softmax = "softmax"
    no_norm = "no_norm"


class Aggregation(StrEnum):
    """How the relevances of the queries become one score."""

    lse = "lse"
    mean = "mean"
    max = "max"
    sum = "sum"


class Rule(StrEnum):
    """Stacked cross attention, or the paper's attention-free ablation Sum-Max."""

    attention = "attention"
    summax = "summax"


class Negatives(StrEnum):
    """Which wrong pairs of a batch count in the triplet loss."""

    hardest = "hardest"
    all = "all"


class LoggerKind(StrEnum):
    """Where the series of a run go besides metrics.csv, which is always written."""

    csv = "csv"
    wandb = "wandb"
    tensorboard = "tensorboard"


class Precision(StrEnum):
    """Arithmetic of the encoders and products; norms, softmax, pooling and evaluation stay in fp32."""

    fp32 = "fp32"
    bf16 = "bf16"


@dataclass
class DataConfig:
    """The store and how batches are read from it."""

    path: str = MISSING
    batch_size: int = 128  # the global batch, split over ranks; the last partial batch is kept
    workers: int = 0
    word_threshold: int = 4  # a word enters the vocabulary when train (+ val) captions hold it this often


@dataclass
class AttentionConfig:
    """The similarity of an image and a caption (paper, sections 3.1 and 3.2)."""

    rule: Rule = Rule.attention
    direction: Direction = Direction.t2i
    smoothing: float = 9.0  # lambda_1, inverse temperature of the attention softmax
    raw_norm: RawNorm = RawNorm.clipped_l2norm
    aggregation: Aggregation = Aggregation.mean
    lse_scale: float = 6.0  # lambda_2, inverse temperature of LogSumExp pooling


@dataclass
class ModelConfig:
    """The two encoders."""

    embed_size: int = 1024
    word_size: int = 300
    bidirectional: bool = True
    normalize_regions: bool = True
    normalize_words: bool = True
    weight_norm: bool = False  # weight-normalised region projection


@dataclass
class LossConfig:
    """The triplet loss (paper, section 3.3)."""

    margin: float = 0.2
    negatives: Negatives = Negatives.hardest
    warmup_steps: int = 0  # first optimizer steps with all negatives


@dataclass
class OptimizerConfig:
    """Adam, one step of decay, gradient clipping by norm."""

    lr: float = 2e-4
    decay_epoch: int = 15  # from this epoch on lr * decay_factor
    decay_factor: float = 0.1
    clip_norm: float = 2.0


@dataclass
class TrainerConfig:
    """Devices and length of a run."""

    accelerator: str = "auto"
    strategy: str = "auto"
    devices: int = 1
    nodes: int = 1
    precision: Precision = Precision.fp32
    max_epochs: int = 30
    max_steps: int = -1  # -1: no limit


@dataclass
class LoggerConfig:
    """The logger besides metrics.csv."""

    kind: LoggerKind = LoggerKind.csv
    project: str = "scan-lightning"
    entity: str | None = None
    name: str | None = None
    group: str | None = None
    tags: list[str] = field(default_factory=list)


@dataclass
class CheckpointingConfig:
    """When the state is saved besides the end of each epoch, and how many of those are kept."""

    every_steps: int = 0  # 0: at the end of each epoch only
    keep: int = 1


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
    seed: int = 0
    run_dir: str = MISSING
    resume: str | None = None  # a checkpoint's path, or "auto"


@dataclass
class EvaluateConfig:
    """What `scan-lightning evaluate` runs."""

    checkpoint: str = MISSING
    data: DataConfig = field(default_factory=DataConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    split: str = "test"
    folds: int = 1  # 5: the mean over five folds of the split (COCO 1K)
    run_dir: str = MISSING
