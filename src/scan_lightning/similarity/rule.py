"""What is computed for one image and one caption: stacked cross attention, or Sum-Max without attention."""

import math
from dataclasses import dataclass

DIRECTIONS = ("t2i", "i2t")
RAW_NORMS = ("clipped_l2norm", "l2norm", "clipped_l1norm", "l1norm", "clipped", "softmax", "no_norm")
AGGREGATIONS = ("lse", "mean", "max", "sum")


@dataclass(frozen=True)
class Attention:
    """Stacked cross attention (paper, sections 3.1 and 3.2).

    Args:
        direction: who asks. `"t2i"`: words attend to regions; `"i2t"`: regions attend to words.
        smoothing: inverse temperature of the attention softmax, lambda_1; positive.
        raw_norm: how raw scores are normalised along the query axis, one of `RAW_NORMS`.
        aggregation: how the relevances of the queries become one score, one of `AGGREGATIONS`.
        lse_scale: inverse temperature of LogSumExp pooling, lambda_2; positive, used by `"lse"` only.

    Raises:
        ValueError: a value outside the ones listed.

    >>> Attention(direction="i2t", smoothing=4.0, aggregation="mean").query
    'region'
    """

    direction: str = "t2i"
    smoothing: float = 9.0
    raw_norm: str = "clipped_l2norm"
    aggregation: str = "lse"
    lse_scale: float = 6.0

    def __post_init__(self) -> None:
        _set(self, "direction", _one_of("direction", self.direction, DIRECTIONS))
        _set(self, "raw_norm", _one_of("raw_norm", self.raw_norm, RAW_NORMS))
        _set(self, "aggregation", _one_of("aggregation", self.aggregation, AGGREGATIONS))
        _set(self, "smoothing", _positive("smoothing", self.smoothing))
        _set(self, "lse_scale", _positive("lse_scale", self.lse_scale))

    @property
    def query(self) -> str:
        """What asks: `"word"` or `"region"`."""
        return "word" if self.direction == "t2i" else "region"


@dataclass(frozen=True)
class SumMax:
    """The paper's ablation without attention: each query's best raw score, summed over the queries.

    Args:
        direction: `"t2i"`: sum over words of the maximum over regions; `"i2t"`: the other way round.

    Raises:
        ValueError: another direction.
    """

    direction: str

    def __post_init__(self) -> None:
        _set(self, "direction", _one_of("direction", self.direction, DIRECTIONS))

    @property
    def query(self) -> str:
        """What asks: `"word"` or `"region"`."""
        return "word" if self.direction == "t2i" else "region"


Rule = Attention | SumMax


def check_rule(rule: object) -> None:
    """Refuse anything that is not a rule.

    Raises:
        ValueError: neither `Attention` nor `SumMax`.
    """
    if not isinstance(rule, Attention | SumMax):
        raise ValueError(f"rule must be an Attention or a SumMax, not {type(rule).__name__}")


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
    return str(value)  # an enum's member becomes the plain word


def _positive(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a positive, finite number, not {value!r}")
    return float(value)


def _set(rule: Rule, name: str, value: object) -> None:
    object.__setattr__(rule, name, value)  # the dataclasses are frozen for everybody else
