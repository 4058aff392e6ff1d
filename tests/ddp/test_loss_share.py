"""A batch split over processes: the shares' loss and gradients are those of the batch in one process."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
from processes import in_processes
from torch import Tensor

import loop_reference as reference
from scan_lightning.data.order import rank_slice
from scan_lightning.model.scan import Embedded
from scan_lightning.similarity import Attention, Similarity, SumMax
from scan_lightning.similarity.base import Side
from scan_lightning.training.gather import gather_pairs
from scan_lightning.training.loss_share import loss_share

RULES = [Attention("t2i"), Attention("i2t", 4.0, "softmax", "mean"), SumMax("t2i")]
DIM = 8


def batch(size: int, seed: int = 0) -> Embedded:
    """Unit embeddings of ragged pairs; the longest image and caption are not in the first share."""
    generator = torch.Generator().manual_seed(seed)
    counts = torch.randint(1, 6, (2, size), generator=generator)
    counts[:, -1] = torch.tensor([7, 9])
    sides = [
        torch.nn.functional.normalize(torch.randn(size, longest, DIM, generator=generator), dim=-1)
        for longest in (7, 9)
    ]
    return Embedded(sides[0], sides[1], counts[0], counts[1])


def cut(whole: Embedded, part: slice) -> Embedded:
    """A share, padded no further than it needs, with NaN as padding."""
    sides = []
    for padded, counts in ((whole.regions, whole.region_counts), (whole.words, whole.word_counts)):
        counts = counts[part]
        longest = int(counts.max()) if len(counts) else 1
        side = padded[part, :longest].clone()
        side[torch.arange(longest) >= counts[:, None]] = torch.nan
        sides.append(side.requires_grad_())
    return Embedded(sides[0], sides[1], whole.region_counts[part], whole.word_counts[part])


def plain_loss(whole: Embedded, rule: Similarity, negatives: str) -> tuple[Tensor, Tensor, Tensor]:
    """The reference from the paper on the whole batch: loss and gradients."""
    whole = replace(whole, regions=whole.regions.clone(), words=whole.words.clone())
    leaves = whole.regions.requires_grad_(), whole.words.requires_grad_()
    counts = {"region_counts": whole.region_counts, "word_counts": whole.word_counts}
    loss = reference.triplet_loss(reference.similarity_matrix(*leaves, rule, **counts), 0.2, str(negatives))
    return (loss.detach(), *torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True))


def share_of(whole: Embedded, rule: Similarity, negatives: str, sizes: list[int] | None) -> list[Tensor]:
    world, rank = dist.get_world_size(), dist.get_rank()
    part = rank_slice(len(whole), rank, world)
    if sizes is not None:
        part = slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))
    own = cut(whole, part)
    loss = loss_share(own, rule, margin=0.2, negatives=negatives)
    grads = torch.autograd.grad(loss, (own.regions, own.words))
    return [loss.detach(), *grads]


def assert_equal_to_one_process(whole: Embedded, shares: list[list[Tensor]], wanted: list[Tensor]) -> None:
    torch.testing.assert_close(sum(share[0] for share in shares), wanted[0], rtol=1e-5, atol=1e-5)
    for side, counts in ((1, whole.region_counts), (2, whole.word_counts)):
        found = torch.zeros_like(wanted[side])
        first = 0
        for share in shares:
            found[first : first + len(share[side]), : share[side].shape[1]] = share[side]
            first += len(share[side])
        real = torch.arange(found.shape[1]) < counts[:, None]
        assert (found[~real] == 0).all()
        torch.testing.assert_close(found[real], wanted[side][real], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("negatives", ["hardest", "all"])
def test_shares_add_up_to_the_loss_and_gradient_of_one_process(
    world: int, rule: Similarity, negatives: str
) -> None:
    whole = batch(11)
    wanted = plain_loss(whole, rule, negatives)
    assert wanted[0] > 0
    assert_equal_to_one_process(whole, in_processes(world, share_of, whole, rule, negatives, None), wanted)


@pytest.mark.parametrize("negatives", ["hardest", "all"])
@pytest.mark.parametrize("sizes", [[0, 2, 1], [0, 1, 0], [4, 0, 0], [1, 1, 5]], ids=str)
def test_processes_without_pairs_neither_hang_nor_count(sizes: list[int], negatives: str) -> None:
    whole = batch(sum(sizes), seed=3)
    wanted = plain_loss(whole, RULES[0], negatives)
    assert_equal_to_one_process(whole, in_processes(3, share_of, whole, RULES[0], negatives, sizes), wanted)


class Weighted(Similarity):
    """The mean score, each word weighted by a trained gate."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = torch.nn.Parameter(torch.linspace(-1, 1, DIM))

    def forward(self, scores: Tensor, regions: Side, words: Side) -> Tensor:
        gates = torch.sigmoid(words.rows @ self.gate).masked_fill(~words.mask, 0)
        mean = scores.sum(dim=-1) / regions.count[..., None]
        return (gates * mean).sum(dim=-1)


def share_with_parameters(whole: Embedded, negatives: str, sizes: list[int]) -> list[Tensor]:
    rank, rule = dist.get_rank(), Weighted()
    own = cut(whole, slice(sum(sizes[:rank]), sum(sizes[: rank + 1])))
    loss = loss_share(own, rule, margin=0.2, negatives=negatives)
    return [loss.detach(), *torch.autograd.grad(loss, (own.regions, own.words, rule.gate))]


@pytest.mark.parametrize("negatives", ["hardest", "all"])
def test_parameters_of_the_similarity_get_the_gradient_of_one_process(negatives: str) -> None:
    whole, rule = batch(7, seed=2), Weighted()
    real = [
        torch.arange(n) < counts[:, None] for n, counts in ((7, whole.region_counts), (9, whole.word_counts))
    ]
    gates = torch.sigmoid(whole.words @ rule.gate) * real[1]
    scores = torch.einsum(
        "ird,ir,cwd,cw->ic", whole.regions, real[0] / real[0].sum(1, True), whole.words, gates
    )
    loss = reference.triplet_loss(scores, 0.2, str(negatives))
    (wanted,) = torch.autograd.grad(loss, rule.gate)
    assert wanted.abs().max() > 0
    shares = in_processes(3, share_with_parameters, whole, negatives, [4, 0, 3])
    torch.testing.assert_close(sum(share[0] for share in shares), loss.detach(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sum(share[3] for share in shares), wanted, rtol=1e-5, atol=1e-5)


def test_equal_negatives_in_two_processes_count_once() -> None:
    """The same image in both shares: its copies tie for every caption, and only the first is taken."""
    whole = batch(4, seed=1)
    for tensor in (whole.regions, whole.region_counts):
        tensor[3] = tensor[0]
    wanted = plain_loss(whole, RULES[2], "hardest")
    shares = in_processes(2, share_of, whole, RULES[2], "hardest", None)
    assert_equal_to_one_process(whole, shares, wanted)


def gathered(whole: Embedded, sizes: list[int]) -> list[Tensor]:
    rank = dist.get_rank()
    all_pairs = gather_pairs(cut(whole, slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))))
    own = all_pairs.own
    assert (own.start, own.stop) == (sum(sizes[:rank]), sum(sizes[: rank + 1]))
    return [all_pairs.regions.detach(), all_pairs.words.detach(), all_pairs.region_counts]


def test_every_process_gets_every_pair_in_the_order_of_ranks() -> None:
    whole = batch(5)
    for regions, words, counts in in_processes(3, gathered, whole, [3, 0, 2]):
        assert torch.equal(counts, whole.region_counts)
        for found, wanted, lengths in (
            (regions, whole.regions, whole.region_counts),
            (words, whole.words, whole.word_counts),
        ):
            real = torch.arange(found.shape[1]) < lengths[:, None]
            assert torch.equal(found[real], wanted[:, : found.shape[1]][real])
