"""The order of training pairs: what every resume, on any number of devices, relies on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scan_lightning.data.order import BatchOrder, permutation, rank_slice

GOLDEN = ([2, 4, 3, 6, 5, 0, 1, 7], [6, 0, 2, 3, 7, 5, 1, 4])

sizes = st.integers(1, 60)
batches = st.integers(1, 70)


def epoch(size: int, batch: int, number: int = 0, *, rank: int = 0, world: int = 1) -> list[list[int]]:
    order = BatchOrder(size, batch, seed=3, rank=rank, world=world)
    order.step = number * len(order)
    return list(order)


@given(sizes, batches, st.integers(0, 3))
def test_an_epoch_holds_every_pair_once_and_keeps_the_last_partial_batch(
    size: int, batch: int, number: int
) -> None:
    found = epoch(size, batch, number)
    assert sorted(pair for part in found for pair in part) == list(range(size))
    assert [len(part) for part in found[:-1]] == [batch] * (len(found) - 1)
    assert len(found) == len(BatchOrder(size, batch, seed=3))


@given(sizes, batches, st.integers(1, 5))
def test_the_ranks_together_are_the_batch_of_one_process(size: int, batch: int, world: int) -> None:
    shares = [epoch(size, batch, 1, rank=rank, world=world) for rank in range(world)]
    for whole, *parts in zip(epoch(size, batch, 1), *shares, strict=True):
        assert [pair for part in parts for pair in part] == whole
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


@given(sizes, batches, st.data())
def test_from_any_step_on_it_is_the_rest_of_the_unbroken_sequence(
    size: int, batch: int, data: st.DataObject
) -> None:
    order = BatchOrder(size, batch, seed=3)
    step = data.draw(st.integers(0, 3 * len(order) - 1))
    order.step = step
    number, first = divmod(step, len(order))
    assert list(order) == epoch(size, batch, number)[first:]


def test_epochs_and_seeds_differ() -> None:
    orders = [permutation(50, seed, number).tolist() for seed in range(3) for number in range(3)]
    assert len({tuple(order) for order in orders}) == len(orders)


def test_the_order_is_the_same_for_ever() -> None:
    # Checkpoints of earlier versions rely on it: a change here breaks their resume.
    assert permutation(8, seed=0, epoch=0).tolist() == GOLDEN[0]
    assert permutation(8, seed=7, epoch=2).tolist() == GOLDEN[1]


def test_every_rank_has_a_share_even_of_nothing() -> None:
    assert [rank_slice(2, rank, 3) for rank in range(3)] == [slice(0, 0), slice(0, 1), slice(1, 2)]


@pytest.mark.parametrize(
    ("size", "batch", "rank", "world"), [(0, 1, 0, 1), (1, 0, 0, 1), (1, 1, 1, 1), (1, 1, -1, 1)]
)
def test_orders_that_cannot_be(size: int, batch: int, rank: int, world: int) -> None:
    with pytest.raises(ValueError, match="no order of"):
        BatchOrder(size, batch, 0, rank=rank, world=world)
