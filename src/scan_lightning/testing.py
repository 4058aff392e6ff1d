"""A test for similarities of one's own: what the engine computes is what `forward` says of a single pair."""

from __future__ import annotations

import copy
import math
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from scan_lightning.similarity import Similarity, attend, similarity_matrix, similarity_pairs
from scan_lightning.similarity.base import Side, parameters_of

IMAGES, CAPTIONS, REGIONS, WORDS = 5, 6, 7, 9


def check_similarity(similarity: Similarity, *, dim: int = 16, seed: int = 0) -> float:
    """Hold a similarity against its own definition: `forward` on one image and one caption without padding.

    Args:
        similarity: what to check; it is left as it is. Its `forward` must be deterministic.
        dim: width of the embeddings, for a similarity that has weights of that width.
        seed: of the random embeddings.

    Returns:
        The numbers that `forward` and its backward pass hold for each raw score, at 36 regions and 12 words.

    Raises:
        AssertionError: a property does not hold; the message begins with the class and names the property.
    """
    exact = copy.deepcopy(similarity).double()
    images, captions = _Items(IMAGES, REGIONS, dim, seed), _Items(CAPTIONS, WORDS, dim, seed + 1)
    with torch.no_grad():
        with _property(similarity, "shape: one similarity for each pair, finite"):
            plain_IC = _plain(exact, images, captions)
            _require(plain_IC.isfinite().all(), "it is not finite for unit vectors")
            same_I, same_C = images.equal(), captions.equal()
            same_IC = _matrix(exact, same_I, same_C)
        with _property(similarity, "neighbours: the score of a pair depends on that pair alone"):
            _close(same_IC, _plain(exact, same_I, same_C))
        with _property(similarity, "padding: what is past a count never matters, NaN included"):
            _close(_matrix(exact, images, captions), plain_IC)
        with _property(similarity, "one row: an image of one region, a caption of one word"):
            one_image, one_caption = images.shortened(), captions.shortened()
            _close(_matrix(exact, one_image, one_caption), _plain(exact, one_image, one_caption))
        with _property(similarity, "blocks: the memory budget never matters"):
            _close(_matrix(exact, images, captions, memory_budget=1), plain_IC)
        with _property(similarity, "permutation: the order of images and captions never matters"):
            order_I, order_C = torch.arange(IMAGES).flip(0), torch.arange(CAPTIONS).roll(2)
            moved_IC = _matrix(exact, images.take(order_I), captions.take(order_C))
            _close(moved_IC, plain_IC[order_I][:, order_C])
        with _property(similarity, "pairs: chosen pairs are entries of the matrix"):
            index_P = torch.tensor([3, 0, 3, 4]), torch.tensor([5, 1, 5, 0])
            _close(_pairs(exact, images, captions, index_P), plain_IC[index_P])
    with _property(similarity, "gradients: of the matrix, embeddings and parameters"):
        weights_IC = torch.randn(IMAGES, CAPTIONS, generator=images.generator, dtype=torch.float64)
        wanted = _gradients(exact, images, captions, lambda i, c: (_plain(exact, i, c) * weights_IC).sum())
        found = _gradients(exact, images, captions, lambda i, c: (_matrix(exact, i, c) * weights_IC).sum())
        _close(found, wanted)
    with _property(similarity, "gradients: of chosen pairs, embeddings and parameters"):
        wanted = _gradients(exact, images, captions, lambda i, c: _plain(exact, i, c)[index_P].sum())
        found = _gradients(exact, images, captions, lambda i, c: _pairs(exact, i, c, index_P).sum())
        _close(found, wanted)
    with _property(similarity, "gradients: zero, not missing, without pairs"):
        none = torch.empty(0, dtype=torch.int64)
        nothing = _pairs(exact, images.leaf(), captions.leaf(), (none, none)).sum()
        for grad in torch.autograd.grad(nothing, parameters_of(exact)) if parameters_of(exact) else ():
            _require((grad == 0).all(), "they are not zero")
    with _property(similarity, "float32: within 1e-4 of float64"), torch.no_grad():
        single = copy.deepcopy(similarity).float()
        scores_IC = _matrix(single, images.to(torch.float32), captions.to(torch.float32))
        torch.testing.assert_close(scores_IC.double(), plain_IC, rtol=1e-4, atol=1e-4)
    if type(similarity).explain is not Similarity.explain:
        with _property(similarity, "explain: weights (queries, context), relevance (queries,)"):
            _check_explain(exact, images, captions)
    with _property(similarity, "floats_per_score: forward and backward stay within it"):
        measured = measure_floats(similarity, dim)
        declared = similarity.floats_per_score
        found_text = f"{measured:.1f} measured, {declared:g} declared"
        _require(measured <= declared, f"{found_text}; declare {math.ceil(measured)}")
    return measured


def measure_floats(similarity: Similarity, dim: int = 16, images: int = 16, captions: int = 16) -> float:
    """Most numbers alive at once for each raw score while a block is scored and differentiated.

    Args:
        similarity: what to measure.
        dim: width of the embeddings.
        images: in the block, of 36 regions.
        captions: in the block, of 12 words.
    """
    single = copy.deepcopy(similarity).float()
    rows_IRD, rows_CWD = torch.rand(images, 36, dim), torch.rand(captions, 12, dim)
    counted = _LiveBytes()
    with counted:
        scores_ICWR = torch.zeros(captions, 12, images, 36, requires_grad=True).permute(2, 0, 1, 3)
        regions = Side(rows_IRD.requires_grad_(), None, lambda tensor: tensor[:, None])
        words = Side(rows_CWD.requires_grad_(), None, lambda tensor: tensor[None])
        found = single.forward(scores_ICWR, regions, words)
        leaves = (scores_ICWR, rows_IRD, rows_CWD, *parameters_of(single))
        torch.autograd.grad(found.sum(), leaves, allow_unused=True)
    return counted.peak / 4 / (images * captions * 12 * 36)


class _Items:
    """Images or captions of unit rows with different counts, NaN at padding."""

    def __init__(self, items: int, longest: int, dim: int, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        rows = torch.randn(items, longest, dim, generator=self.generator, dtype=torch.float64)
        self.counts = 1 + torch.arange(items) * (longest - 1) // (items - 1)
        self.rows = torch.nn.functional.normalize(rows, dim=-1)
        padding = torch.arange(longest) >= self.counts[:, None]
        self.rows = self.rows.masked_fill(padding[..., None], torch.nan)

    def one(self, item: int) -> Tensor:
        """(count, dim) real rows of an item."""
        return self.rows[item, : int(self.counts[item])]

    def take(self, index: Tensor) -> _Items:
        """The items in another order."""
        return self._with(self.rows[index], self.counts[index])

    def equal(self) -> _Items:
        """The items cut to an equal count, so that there is no padding; those too short are left out."""
        count = int(self.counts.median())
        enough = self.counts >= count
        return self._with(self.rows[enough, :count], torch.full((int(enough.sum()),), count))

    def shortened(self) -> _Items:
        """All items with their first row only."""
        return self._with(self.rows[:, :1], torch.ones_like(self.counts))

    def to(self, dtype: torch.dtype) -> _Items:
        """The items in another type."""
        return self._with(self.rows.to(dtype), self.counts)

    def leaf(self) -> _Items:
        """A copy whose rows ask for a gradient."""
        return self._with(self.rows.clone().requires_grad_(), self.counts)

    def _with(self, rows: Tensor, counts: Tensor) -> _Items:
        other = copy.copy(self)
        other.rows, other.counts = rows, counts
        return other


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the storages that operations make, and the most that were alive at once."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        inputs = {tensor.untyped_storage().data_ptr() for tensor in _tensors((args, kwargs))}
        result = function(*args, **kwargs)
        for tensor in _tensors(result):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in inputs | self._known:
                self.live += storage.nbytes()
                self._known.add(storage.data_ptr())
                weakref.finalize(storage, self._freed, storage.data_ptr(), storage.nbytes())
        self.peak = max(self.peak, self.live)
        return result

    def _freed(self, address: int, size: int) -> None:
        self._known.discard(address)
        self.live -= size


def _tensors(value: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor))


def _plain(similarity: Similarity, images: _Items, captions: _Items) -> Tensor:
    """(images, captions), one pair after the other, without leading axes and without padding."""
    rows = []
    for image in range(len(images.rows)):
        for caption in range(len(captions.rows)):
            regions, words = images.one(image), captions.one(caption)
            score = similarity(words @ regions.T, Side(regions), Side(words))
            shape = tuple(score.shape) if isinstance(score, Tensor) else type(score).__name__
            _require(shape == (), f"forward gives {shape} for the scores (W, R) of one pair, expected ()")
            rows.append(score)
    return torch.stack(rows).view(len(images.rows), len(captions.rows))


def _matrix(similarity: Similarity, images: _Items, captions: _Items, **settings: Any) -> Tensor:
    counts: dict[str, Any] = {"region_counts": images.counts, "word_counts": captions.counts}
    return similarity_matrix(images.rows, captions.rows, similarity, **counts, **settings)


def _pairs(
    similarity: Similarity, images: _Items, captions: _Items, index_P: tuple[Tensor, Tensor]
) -> Tensor:
    counts: dict[str, Any] = {"region_counts": images.counts, "word_counts": captions.counts}
    return similarity_pairs(images.rows, captions.rows, *index_P, similarity, **counts)


def _gradients(similarity: Similarity, images: _Items, captions: _Items, loss: Any) -> list[Tensor]:
    """Of both sides and of the parameters, 0 where the loss does not depend on them."""
    leaves = images.leaf(), captions.leaf()
    trained = (name for name, item in similarity.named_parameters() if item.requires_grad)
    names = ["regions", "words", *trained]
    wanted = (leaves[0].rows, leaves[1].rows, *parameters_of(similarity))
    grads = torch.autograd.grad(loss(*leaves), wanted, allow_unused=True)
    for name, grad in zip(names, grads, strict=True):
        _require(grad is None or grad.isfinite().all(), f"the gradient of {name} is not finite")
    pairs = zip(wanted, grads, strict=True)
    return [torch.zeros_like(leaf) if grad is None else grad for leaf, grad in pairs]


def _check_explain(similarity: Similarity, images: _Items, captions: _Items) -> None:
    regions, words = images.one(IMAGES - 1), captions.one(CAPTIONS - 2)
    with torch.no_grad():
        weights, relevance = attend(regions, words, similarity)
        score = similarity(words @ regions.T, Side(regions), Side(words))
    shape = (len(words), len(regions)) if similarity.direction == "t2i" else (len(regions), len(words))
    for name, found, wanted in (("weights", weights, shape), ("relevance", relevance, shape[:1])):
        _require(tuple(found.shape) == wanted, f"{name} of shape {tuple(found.shape)}, expected {wanted}")
    pool = getattr(similarity, "pool", None)
    if pool is not None:
        _close(pool(relevance, None, len(relevance)), score)


def _close(found: Tensor | list[Tensor], wanted: Tensor | list[Tensor]) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-7, atol=1e-9)


def _require(holds: Any, message: str) -> None:
    if not holds:
        raise AssertionError(message)


@contextmanager
def _property(similarity: Similarity, name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise AssertionError(f"{type(similarity).__name__} fails {name}. {error}") from error
