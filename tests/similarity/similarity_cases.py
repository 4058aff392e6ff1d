"""Inputs and rules shared by the tests of the similarity engine."""

from typing import get_args

import pytest
import torch
from torch import Tensor

from scan_lightning.similarity import Attention, Similarity, SumMax
from scan_lightning.similarity.attention import Aggregation, Direction, RawNorm

AGGREGATIONS, DIRECTIONS, RAW_NORMS = map(get_args, (Aggregation, Direction, RawNorm))

ALL_RULES: list[Similarity] = [
    Attention(direction, 7.0, raw_norm, aggregation, 5.0)
    for direction in DIRECTIONS
    for raw_norm in RAW_NORMS
    for aggregation in AGGREGATIONS
] + [SumMax(direction, aggregation, 5.0) for direction in DIRECTIONS for aggregation in AGGREGATIONS]
FEW_RULES: list[Similarity] = [
    Attention("t2i", 9.0, "clipped_l2norm", "lse", 6.0),
    Attention("i2t", 4.0, "clipped_l2norm", "mean"),
    Attention("t2i", 4.0, "softmax", "max"),
    Attention("i2t", 4.0, "l1norm", "sum"),
    SumMax("t2i"),
    SumMax("i2t", "lse"),
]


def name(rule: Similarity) -> str:
    """A short test id."""
    if isinstance(rule, Attention):
        return f"{rule.direction}-{rule.raw_norm}-{rule.aggregation}"
    return f"{rule.direction}-summax-{rule.aggregation}"


def all_rules(function):
    return pytest.mark.parametrize("rule", ALL_RULES, ids=name)(function)


def few_rules(function):
    return pytest.mark.parametrize("rule", FEW_RULES, ids=name)(function)


class Batch:
    """Ragged images and captions of unit vectors, with NaN in the padding."""

    def __init__(
        self,
        images: int = 5,
        regions: int = 6,
        captions: int = 7,
        words: int = 9,
        dim: int = 16,
        seed: int = 0,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.region_counts = torch.randint(1, regions + 1, (images,), generator=generator)
        self.word_counts = torch.randint(1, words + 1, (captions,), generator=generator)
        self.regions = _unit(images, regions, dim, generator).to(dtype)
        self.words = _unit(captions, words, dim, generator).to(dtype)
        poison(self.regions, self.region_counts)
        poison(self.words, self.word_counts)

    @property
    def counts(self) -> dict[str, Tensor]:
        """The counts as keyword arguments."""
        return {"region_counts": self.region_counts, "word_counts": self.word_counts}

    def leaves(self) -> tuple[Tensor, Tensor]:
        """Fresh copies of both sides that ask for a gradient."""
        return self.regions.clone().requires_grad_(), self.words.clone().requires_grad_()


def poison(padded: Tensor, counts: Tensor, value: float = float("nan")) -> None:
    """Fill the padding."""
    for row, count in zip(padded, counts.tolist(), strict=True):
        row[count:] = value


def _unit(items: int, length: int, dim: int, generator: torch.Generator) -> Tensor:
    return torch.nn.functional.normalize(
        torch.randn(items, length, dim, generator=generator, dtype=torch.float64), dim=2
    )
