"""The products behind the scores: their library, their precision, and the raw scores of chosen pairs.

`@` goes to MKL on x86, which on processors of other makers leaves half of AVX-512 unused; oneDNN, to which
torch hands tensors made by `to_mkldnn`, uses all of it, at the price of copying one operand and the result.

Precision is chosen here and never inherited from a global switch or from autocast.

For chosen pairs, the words of all captions paired with an image are its *rows*. Images with about as many
rows form a *tile*, a batched product: no region is copied for each pair, and little padding is multiplied.

Shape legend: P pairs, R regions, W words, D dimension, A all rows, G images of a tile, N rows of each of them
when padded, X = G x N, M real rows among them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from scan_lightning.similarity.inputs import real_positions, sorted_blocks, zero_padding

PRODUCTS = ("fp32", "tf32", "bf16")
WORTH_A_COPY = 2**26  # multiplications; below, the copies and a kernel made for a new shape cost what is won
TILE_ROWS = 1024  # enough for a batched product, few enough for a CPU's caches


def rows_times_rows(left_NK: Tensor, right_MK: Tensor) -> Tensor:
    """(N, M) inner products of all rows with all rows, in the operands' own precision. Differentiable.

    Args:
        left_NK: rows, floating.
        right_MK: rows of the same type on the same device.
    """
    if _by_onednn(left_NK, len(right_MK)):
        scores_NM: Tensor = torch.nn.functional.linear(left_NK.to_mkldnn(), right_MK).to_dense()
        return scores_NM
    return left_NK @ right_MK.T


def _by_onednn(left_NK: Tensor, columns: int) -> bool:
    return (
        left_NK.device.type == "cpu"
        and left_NK.dtype == torch.float32
        and left_NK.numel() * columns >= WORTH_A_COPY
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
    )


def check_product(product: str) -> None:
    """Refuse an unknown precision of the product.

    Raises:
        ValueError: not one of `PRODUCTS`.
    """
    if product not in PRODUCTS:
        raise ValueError(f"product must be one of {', '.join(PRODUCTS)}, not {product!r}")


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Norms, softmax, Gram matrices and pooling in the operands' own precision: no autocast, no TF32."""
    with torch.autocast(device_type=device.type, enabled=False), _fp32_products(tf32=False):
        yield


def scores_of(words_ND: Tensor, regions_XD: Tensor, product: str) -> Tensor:
    """Raw scores (N, X) of packed words and region rows.

    Args:
        words_ND: float32 or float64.
        regions_XD: the same type.
        product: `"fp32"`; `"tf32"`: NVIDIA tensor cores, 10 bits of mantissa (elsewhere as `"fp32"`);
            `"bf16"`: operands rounded to bfloat16, sums in float32. float64 is never rounded.

    Returns:
        Scores in the operands' type.
    """
    if product == "bf16" and words_ND.dtype == torch.float32:
        words_ND, regions_XD = words_ND.bfloat16(), regions_XD.bfloat16()
        if words_ND.is_cuda and hasattr(torch.ops.aten.mm, "dtype"):  # torch 2.8: sums kept in float32
            return torch.mm(words_ND, regions_XD.T, out_dtype=torch.float32)
        words_ND, regions_XD = words_ND.float(), regions_XD.float()  # the same numbers by a wider product
    with _fp32_products(tf32=product == "tf32"):
        return rows_times_rows(words_ND, regions_XD)


@contextmanager
def _fp32_products(tf32: bool) -> Iterator[None]:
    """float32 products of all libraries in TF32 or in full; the program's own setting comes back."""
    cuda: Any = torch.backends.cuda.matmul
    cpu: Any = getattr(torch.backends.mkldnn, "matmul", None)
    if not (hasattr(cuda, "fp32_precision") and hasattr(cpu, "fp32_precision")):  # torch < 2.9
        legacy = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(legacy)
        return
    before = cuda.fp32_precision, cpu.fp32_precision
    try:
        cuda.fp32_precision = "tf32" if tf32 else "ieee"
        cpu.fp32_precision = "ieee"
        yield
    finally:
        cuda.fp32_precision, cpu.fp32_precision = before


class PairList:
    """Pairs sorted by image, and how they are multiplied.

    Attributes:
        images, captions: (P,) int64 on the device.
        region_counts, word_counts: (P,) int64 on the CPU.
        longest_R, longest_W: the most regions and words of a pair.
        real_PR, real_PW: bool masks on the device; None: no padding.
    """

    def __init__(
        self,
        images: Tensor,
        captions: Tensor,
        region_counts: Tensor,
        word_counts: Tensor,
        device: torch.device,
    ) -> None:
        self.region_counts, self.word_counts = region_counts[images], word_counts[captions]
        self.longest_R, self.longest_W = int(self.region_counts.max()), int(self.word_counts.max())
        self.real_PR = real_positions(self.region_counts, self.longest_R, device)
        self.real_PW = real_positions(self.word_counts, self.longest_W, device)
        self.images, self.captions = images.to(device), captions.to(device)
        self._tiles = list(_tiles(images, captions, region_counts, self.word_counts, device))

    def scores(self, regions: Tensor, words: Tensor, dtype: torch.dtype) -> Tensor:
        """Raw scores (P, W, R), zero at padding."""
        shape = len(self.images), self.longest_W, self.longest_R
        scores_PWR = torch.zeros(shape, dtype=dtype, device=regions.device)
        for tile in self._tiles:
            scores_GNR = tile.words(words, dtype) @ tile.regions(regions, dtype).mT
            scores_PWR[tile.pair_M, tile.position_M, : tile.longest_R] = scores_GNR.flatten(0, 1)[tile.row_M]
        return scores_PWR

    def add_gradients(
        self, grad_PWR: Tensor, regions: Tensor, words: Tensor, grad_regions: Tensor, grad_words: Tensor
    ) -> None:
        """Add to the batch's gradients what flows back through the scores.

        Args:
            grad_PWR: gradient of the scores, in the dtype of computation; zero at padding.
            regions, words: the batch's embeddings.
            grad_regions, grad_words: gradients of the batch, changed in place.
        """
        for tile in self._tiles:
            regions_GRD = tile.regions(regions, grad_PWR.dtype)
            words_GND = tile.words(words, grad_PWR.dtype)
            grad_XR = grad_PWR.new_zeros(words_GND.shape[0] * words_GND.shape[1], tile.longest_R)
            grad_XR[tile.row_M] = grad_PWR[tile.pair_M, tile.position_M, : tile.longest_R]
            grad_GNR = grad_XR.view(*words_GND.shape[:2], tile.longest_R)
            grad_XD = (grad_GNR @ regions_GRD).flatten(0, 1)
            grad_words.flatten(0, 1).index_add_(0, tile.word_index(words), grad_XD)
            grad_regions[:, : tile.longest_R].index_add_(0, tile.images_G, grad_GNR.mT @ words_GND)


class _Rows(NamedTuple):
    """Every word of every pair: its pair, its caption and its position there, each (A,) and on the CPU."""

    pair: Tensor
    caption: Tensor
    position: Tensor


class _Tile:
    """Some images with the words of all captions they are paired with, each image's padded to the most.

    Args:
        images_G: the images.
        region_counts_G: their real regions.
        counts_G: rows of each, ...
        first_G: ... and where they begin.
        rows: all rows, by image.
        device: where the embeddings are. All other tensors come on the CPU.
    """

    def __init__(
        self,
        images_G: Tensor,
        region_counts_G: Tensor,
        counts_G: Tensor,
        first_G: Tensor,
        rows: _Rows,
        device: torch.device,
    ) -> None:
        longest = int(counts_G.max())
        slot_M = torch.arange(len(counts_G)).repeat_interleave(counts_G)
        within_M = torch.arange(len(slot_M)) - (counts_G.cumsum(0) - counts_G)[slot_M]
        real_M = first_G[slot_M] + within_M
        # A padding row is its image's first row again: whatever that holds takes part already.
        all_X = first_G.repeat_interleave(longest)
        self.row_M = slot_M * longest + within_M
        all_X[self.row_M] = real_M
        self.longest_R, self._shape = int(region_counts_G.max()), (len(counts_G), longest)
        self._real_GR = real_positions(region_counts_G, self.longest_R, device)
        self.images_G, self.row_M = images_G.to(device), self.row_M.to(device)
        self.pair_M, self.position_M = rows.pair[real_M].to(device), rows.position[real_M].to(device)
        self._caption_X, self._position_X = rows.caption[all_X].to(device), rows.position[all_X].to(device)

    def regions(self, regions: Tensor, dtype: torch.dtype) -> Tensor:
        """(G, R, D), zero at padding."""
        return zero_padding(regions[self.images_G, : self.longest_R], self._real_GR, dtype)

    def word_index(self, words: Tensor) -> Tensor:
        """(X,) where each row lies in the flattened words."""
        return self._caption_X * words.shape[1] + self._position_X

    def words(self, words: Tensor, dtype: torch.dtype) -> Tensor:
        """(G, N, D)."""
        rows_XD = words.flatten(0, 1).index_select(0, self.word_index(words))  # faster than two indices
        return rows_XD.to(dtype).view(*self._shape, -1)


def _tiles(
    images: Tensor, captions: Tensor, region_counts: Tensor, word_counts_P: Tensor, device: torch.device
) -> Iterator[_Tile]:
    """The tiles of pairs sorted by image; arguments on the CPU."""
    pair_A = torch.arange(len(images)).repeat_interleave(word_counts_P)
    position_A = torch.arange(len(pair_A)) - (word_counts_P.cumsum(0) - word_counts_P)[pair_A]
    rows = _Rows(pair_A, captions[pair_A], position_A)
    owners, owner_P = torch.unique_consecutive(images, return_inverse=True)
    counts = torch.zeros_like(owners).index_add_(0, owner_P, word_counts_P)
    first = counts.cumsum(0) - counts
    for tile in sorted_blocks(counts, TILE_ROWS):
        of_tile = owners[tile]
        yield _Tile(of_tile, region_counts[of_tile], counts[tile], first[tile], rows, device)
