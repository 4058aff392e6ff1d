"""Which pairs are trained on, and when: a function of (seed, epoch, batch) and of nothing else.

The order knows no device and no worker: every rank cuts its slice out of the same global batch. So a run that
stops anywhere goes on with the next batch of the same sequence, on any number of devices.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt


def permutation(size: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Return the order (size,) of one epoch.

    >>> permutation(5, seed=0, epoch=0).tolist() == permutation(5, seed=0, epoch=0).tolist()
    True
    """
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, epoch))))
    return generator.permutation(size).astype(np.int64)


def rank_slice(size: int, rank: int, world: int) -> slice:
    """Return a rank's contiguous share of a batch; shares differ by one at most and may be empty.

    >>> [rank_slice(7, rank, 3) for rank in range(3)]
    [slice(0, 2, None), slice(2, 4, None), slice(4, 7, None)]
    """
    return slice(size * rank // world, size * (rank + 1) // world)


class BatchOrder:
    """A batch sampler: the batches of an epoch from `step` on, cut to one rank; the last partial one is kept.

    `step` counts global batches over all epochs; the loader sets it.

    Args:
        size: number of pairs.
        batch_size: pairs of a global batch.
        seed: of the run.
        rank: which process.
        world: how many processes.
    """

    def __init__(self, size: int, batch_size: int, seed: int, *, rank: int = 0, world: int = 1) -> None:
        if size < 1 or batch_size < 1 or not 0 <= rank < world:
            raise ValueError(
                f"no order of {size} pairs in batches of {batch_size} for rank {rank} of {world}"
            )
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.rank, self.world = rank, world
        self.step = 0

    def __len__(self) -> int:
        """Batches of a complete epoch."""
        return -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the pairs of each batch from `step` to the end of its epoch."""
        epoch, first = divmod(self.step, len(self))
        order = permutation(self.size, self.seed, epoch)
        for start in range(first * self.batch_size, self.size, self.batch_size):
            batch = order[start : start + self.batch_size]
            yield batch[rank_slice(len(batch), self.rank, self.world)].tolist()
