"""The contract of a similarity: raw scores of pairs in, similarities out.

Shape legend: n items, X rows of an item (R regions or W words), D dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from scan_lightning.errors import ScanError
from scan_lightning.specification import ARGUMENTS, Configurable


class Similarity(Configurable, nn.Module):
    """The similarity of images and captions; derive from it, define `forward`, and use it like `Attention`.

    The score of a pair must depend on that pair alone, and be the same each time: the engine computes scores
    in blocks and again in the backward pass. Parameters get their gradients; buffers are constants. Two
    similarities of equal class and constructor arguments are equal.

    `scan_lightning.testing.check_similarity` tests an own similarity.

    Attributes:
        floats_per_score: numbers that `forward` and its backward pass allocate for each raw score; blocks are
            cut by it.
        direction: what the queries of `explain` are: words (`"t2i"`) or regions (`"i2t"`).
    """

    floats_per_score: float = 12
    direction: str = "t2i"

    def forward(self, scores: Tensor, regions: Side, words: Side) -> Tensor:
        """Similarities from raw scores, differentiable.

        Args:
            scores: (..., W, R) dot products of words and regions, float32 or float64, 0 at padding. The
                leading axes are images x captions, chosen pairs, or none for a single pair.
            regions: the R side; its leading axes broadcast against those of `scores`.
            words: the W side, likewise.

        Returns:
            (...) similarities. Unless it is overridden: the dot product of `pool_images` and `pool_captions`.
        """
        if not is_vector_product(self):
            raise NotImplementedError(f"{type(self).__name__} defines no forward(scores, regions, words)")
        return (self.pool_images(regions) * self.pool_captions(words)).sum(dim=-1)

    def explain(self, scores: Tensor, regions: Side, words: Side) -> tuple[Tensor, Tensor]:
        """What each query attends to. Optional.

        Args:
            scores, regions, words: as for `forward`.

        Returns:
            weights: (..., queries, context), queries as `direction` says.
            relevance: (..., queries); pooling it gives the similarity.

        Raises:
            ScanError: this similarity does not define it.
        """
        raise ScanError(f"{type(self).__name__} has no attention weights to show: it does not define explain")

    def pool_images(self, regions: Side) -> Tensor:
        """(..., V) one vector for each image. Optional, together with `pool_captions`.

        For a similarity that is the dot product of two vectors; each side is then encoded once.
        """
        raise NotImplementedError

    def pool_captions(self, words: Side) -> Tensor:
        """(..., V) one vector for each caption. Optional, together with `pool_images`."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and bool(vars(self)[ARGUMENTS] == vars(other)[ARGUMENTS])

    def __hash__(self) -> int:
        plain = (value for value in vars(self)[ARGUMENTS].values() if isinstance(value, str | int | float))
        return hash((type(self), *plain))

    def named_modules(
        self, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Module]]:
        """As in torch, but told apart by identity: equal similarities each have their own parameters."""
        memo = set() if memo is None else memo
        if id(self) in memo:
            return
        if remove_duplicate:
            memo.add(id(self))
        yield prefix, self
        for name, child in self._modules.items():
            if child is not None:
                yield from child.named_modules(memo, f"{prefix}.{name}".lstrip("."), remove_duplicate)

    def extra_repr(self) -> str:
        """The constructor's arguments."""
        return ", ".join(f"{name}={value!r}" for name, value in vars(self)[ARGUMENTS].items())


class Side:
    """The regions, or the words, of the pairs to score. Each attribute is computed on first use.

    Leading axes of size 1 broadcast: multiply by `rows` and `gram` with `broadcast_matmul` or `torch.einsum`,
    which do not copy them; `@` does.

    Args:
        rows_nXD: rows of the distinct items, 0 at padding.
        real_nX: bool, True at real rows; None: no padding.
        expand: from a tensor with one entry for each item to the leading axes of the scores.
    """

    def __init__(
        self,
        rows_nXD: Tensor,
        real_nX: Tensor | None = None,
        expand: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self._rows, self._real = rows_nXD, real_nX
        self._expand = expand or (lambda tensor: tensor)

    @cached_property
    def mask(self) -> Tensor:
        """(..., X) bool, True at real rows."""
        if self._real is None:
            return self._expand(torch.ones(self._rows.shape[:-1], dtype=torch.bool, device=self._rows.device))
        return self._expand(self._real)

    @property
    def padding(self) -> Tensor | None:
        """(..., X) bool, True at padding; None when there is none."""
        return None if self._real is None else ~self.mask

    @cached_property
    def count(self) -> Tensor:
        """(...) number of real rows, in the dtype of the rows."""
        return self.mask.sum(dim=-1).to(self._rows.dtype)

    @cached_property
    def rows(self) -> Tensor:
        """(..., X, D) the embeddings, 0 at padding."""
        return self._expand(self._rows)

    @cached_property
    def gram(self) -> Tensor:
        """(..., X, X) dot products of the rows with each other."""
        gram: Tensor = _Gram.apply(self._rows)  # type: ignore[no-untyped-call]
        return self._expand(gram)

    @cached_property
    def norm(self) -> Tensor:
        """(..., X) L2 norms of the rows, with gradient 0 at a zero row."""
        return self._expand(norm(self._rows, -1, keepdim=False))


class _Gram(torch.autograd.Function):
    """X X^T; its gradient is one product, not two, because the result is symmetric."""

    @staticmethod
    def forward(ctx: Any, rows_nXD: Tensor) -> Tensor:
        ctx.save_for_backward(rows_nXD)
        return rows_nXD @ rows_nXD.mT

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_nXX: Tensor) -> Tensor:
        (rows_nXD,) = ctx.saved_tensors
        grad: Tensor = (grad_nXX + grad_nXX.mT) @ rows_nXD
        return grad


def norm(x: Tensor, dim: int, keepdim: bool = True) -> Tensor:
    """L2 norm along one axis, whose gradient at an all-zero row is zero instead of NaN."""
    return safe_sqrt((x * x).sum(dim=dim, keepdim=keepdim))


def safe_sqrt(x: Tensor) -> Tensor:
    """Square root of max(x, 0), with the gradient zero where x <= 0 (sqrt alone gives NaN or inf there)."""
    positive = x > 0
    return torch.where(positive, torch.where(positive, x, 1).sqrt(), 0)


def broadcast_matmul(left: Tensor, right: Tensor) -> Tensor:
    """`left @ right`, without copying the operand along leading axes where it has size 1."""
    if left.shape[:-2] == right.shape[:-2]:
        return left @ right
    return torch.einsum("...ij,...jk->...ik", left, right)


def is_vector_product(rule: Similarity) -> bool:
    """Whether a similarity is the dot product of one vector an image and one a caption."""
    methods = (type(rule).pool_images, type(rule).pool_captions)
    return methods[0] is not Similarity.pool_images and methods[1] is not Similarity.pool_captions


def scores_of_pairs(rule: Similarity, scores: Tensor, regions: Side, words: Side) -> Tensor:
    """What `rule` returns, in the dtype of the raw scores.

    Raises:
        ScanError: it is of another shape.
    """
    found = rule(scores, regions, words)
    wanted = tuple(scores.shape[:-2])
    if not isinstance(found, Tensor) or tuple(found.shape) != wanted:
        shape = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise ScanError(
            f"{type(rule).__name__}.forward returned {shape} for scores of shape {tuple(scores.shape)}, "
            f"expected shape {wanted}: one similarity for each pair"
        )
    return found.to(scores.dtype)


def parameters_of(rule: Similarity) -> tuple[nn.Parameter, ...]:
    """The parameters of a similarity that are trained."""
    return tuple(parameter for parameter in rule.parameters() if parameter.requires_grad)
