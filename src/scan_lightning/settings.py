"""The groups of settings in `conf/`: one dataclass each, with the types and the range of its values.

The defaults are the released recipe (Lee et al., ECCV 2018, and its code); `conf/` repeats them so that a
reader sees every knob in one place. What a key means stands under `Attributes:`; `--help` shows that.
"""

from __future__ import annotations

from dataclasses import dataclass, field

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
    Strategy,
)
from scan_lightning.limits import limited

MISSING = "???"  # OmegaConf's mark of a value that the user has to give


@dataclass
class DataConfig:
    """The store and how batches are read from it.

    Attributes:
        path: the store, made by `scan-lightning data build`
        batch_size: pairs of a batch, of all processes together; the last, smaller batch of an epoch is kept
        workers: processes that read ahead, for each process of the run; 0: it reads by itself
        cache: where region features are held: streamed from the store (none) or on the GPU (device)
        word_threshold: a word enters the vocabulary when train (and val) captions hold it this often
    """

    path: str = MISSING
    batch_size: int = limited(128, at_least=1)
    workers: int = limited(0, at_least=0)
    cache: Cache = Cache.none
    word_threshold: int = limited(4, at_least=1)


@dataclass
class AttentionConfig:
    """The similarity of an image and a caption (paper, sections 3.1 and 3.2).

    Attributes:
        rule: stacked cross attention, or Sum-Max, the paper's ablation without attention
        direction: words look at regions (t2i), or regions at words (i2t)
        smoothing: lambda_1, inverse temperature of the attention's softmax
        raw_norm: how scores are normalised along the side that asks, before the softmax
        aggregation: how the relevances become one score
        lse_scale: lambda_2, inverse temperature of LogSumExp pooling (aggregation=lse)
    """

    rule: Rule = Rule.attention
    direction: Direction = Direction.t2i
    smoothing: float = limited(9.0, above=0)
    raw_norm: RawNorm = RawNorm.clipped_l2norm
    aggregation: Aggregation = Aggregation.mean
    lse_scale: float = limited(6.0, above=0)


@dataclass
class ModelConfig:
    """The two encoders.

    Attributes:
        embed_size: width of the space that regions and words share
        word_size: width of a word's embedding, what the GRU reads
        bidirectional: read captions in both directions and average
        normalize_regions: divide each region's vector by its length
        normalize_words: divide each word's vector by its length
        weight_norm: weight-normalised region projection
    """

    embed_size: int = limited(1024, at_least=1)
    word_size: int = limited(300, at_least=1)
    bidirectional: bool = True
    normalize_regions: bool = True
    normalize_words: bool = True
    weight_norm: bool = False


@dataclass
class LossConfig:
    """The triplet loss (paper, section 3.3).

    Attributes:
        margin: by how much a right pair should beat a wrong one
        negatives: which wrong pairs of the batch count: the hardest of each item, or all
        warmup_steps: the first optimizer steps use all negatives
        negatives_scope: with several processes, negatives among all their pairs, or each process's own share
        large_batch: one loss over all accumulated batches, which are encoded one after the other
    """

    margin: float = limited(0.2, at_least=0)
    negatives: Negatives = Negatives.hardest
    warmup_steps: int = limited(0, at_least=0)
    negatives_scope: NegativesScope = NegativesScope.whole_batch
    large_batch: bool = False


@dataclass
class OptimizerConfig:
    """Adam, one step of decay, gradient clipping by norm.

    Attributes:
        lr: learning rate
        decay_epoch: from this epoch on (the first is 0) the rate is multiplied by decay_factor
        decay_factor: what the rate is multiplied by, once
        clip_norm: a longer gradient is shortened to this norm
    """

    lr: float = limited(2e-4, above=0)
    decay_epoch: int = limited(15, at_least=1)
    decay_factor: float = limited(0.1, above=0, at_most=1)
    clip_norm: float = limited(2.0, above=0)


@dataclass
class TrainerConfig:
    """Devices and length of a run.

    Attributes:
        accelerator: what a process computes on; auto: the GPU where there is one
        strategy: how several processes start; ddp: by repeating the command; auto: ddp for several devices
        devices: processes on each machine: GPUs, or shares of the CPU
        nodes: machines
        precision: of the encoders and products; all else, and evaluation, is fp32
        accumulate_grad_batches: batches an optimizer step takes; more than 1 needs loss.large_batch=true
        max_epochs: length of the run
        max_steps: optimizer steps after which it ends within an epoch, with a validation
    """

    accelerator: Accelerator = Accelerator.auto
    strategy: Strategy = Strategy.auto
    devices: int = limited(1, at_least=1, special=-1, special_meaning="all there are")
    nodes: int = limited(1, at_least=1)
    precision: Precision = Precision.fp32
    accumulate_grad_batches: int = limited(1, at_least=1)
    max_epochs: int = limited(30, at_least=1)
    max_steps: int = limited(-1, at_least=1, special=-1, special_meaning="no limit")


@dataclass
class LoggerConfig:
    """Where the series go besides metrics.csv.

    Attributes:
        kind: chosen by logger=csv, logger=wandb or logger=tensorboard
        project: wandb project
        entity: wandb team; null: your own account
        name: shown name of the run; null: that of its folder
        group: what wandb groups runs by; null: the sweep
        tags: labels in wandb
        panel_every_epochs: pictures and hardest queries this often, 0: never; logger=wandb|tensorboard: 5
        log_checkpoints: upload best.ckpt and last.ckpt as an artifact (wandb)
    """

    kind: LoggerKind = LoggerKind.csv
    project: str = "scan-lightning"
    entity: str | None = None
    name: str | None = None
    group: str | None = None
    tags: list[str] = field(default_factory=list)
    panel_every_epochs: int = limited(0, at_least=0)
    log_checkpoints: bool = False


@dataclass
class CheckpointingConfig:
    """When the state is saved besides the end of each epoch.

    Attributes:
        every_steps: also save last.ckpt every so many optimizer steps; 0: at the end of each epoch only
        keep: how many of the latest saves stay; best.ckpt stays anyway
    """

    every_steps: int = limited(0, at_least=0)
    keep: int = limited(1, at_least=1)
