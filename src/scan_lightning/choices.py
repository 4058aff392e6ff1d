"""The closed lists of values in `conf/`: one enum for each key that takes one of several words."""

from __future__ import annotations

from enum import StrEnum


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


class NegativesScope(StrEnum):
    """Where negatives are looked for when several processes share a batch."""

    whole_batch = "global"
    own_share = "local"


class LoggerKind(StrEnum):
    """Where the series of a run go besides metrics.csv, which is always written."""

    csv = "csv"
    wandb = "wandb"
    tensorboard = "tensorboard"


class Precision(StrEnum):
    """Arithmetic of the encoders and products; norms, softmax, pooling and evaluation stay in fp32."""

    fp32 = "fp32"
    bf16 = "bf16"


class Accelerator(StrEnum):
    """What a process computes on; auto: the GPU where there is one."""

    auto = "auto"
    cpu = "cpu"
    gpu = "gpu"


class Strategy(StrEnum):
    """How several processes share a run; auto: ddp when there are several devices.

    `ddp` starts the command again for each process, `ddp_fork` and `ddp_spawn` start from the running one.
    """

    auto = "auto"
    ddp = "ddp"
    ddp_fork = "ddp_fork"
    ddp_spawn = "ddp_spawn"


class Cache(StrEnum):
    """Where region features are held: streamed from the store, or a copy on the device."""

    none = "none"
    device = "device"


class Split(StrEnum):
    """The parts of a data set."""

    train = "train"
    val = "val"
    test = "test"
