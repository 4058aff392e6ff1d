import pytest
import torch

from scan_lightning.retrieval.embeddings import Embeddings

CPU = torch.device("cpu")


def padded_batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of different widths, NaN in the padding."""
    batches = []
    for width, counts in ((3, [3, 1]), (2, [2]), (5, [4, 1, 5])):
        padded = torch.randn(len(counts), width, 4)
        for row, count in enumerate(counts):
            padded[row, count:] = torch.nan
        batches.append((padded, torch.tensor(counts)))
    return batches


def test_what_was_packed_comes_back_padded_with_zeros() -> None:
    batches = padded_batches()
    packed = Embeddings.from_batches(batches)
    assert len(packed) == 6
    assert packed.packed.shape == (16, 4)
    flat = [padded[row, :count] for padded, counts in batches for row, count in enumerate(counts)]
    items = torch.tensor([5, 0, 3, 0])
    padded, counts = packed.take(items, CPU)
    assert counts.tolist() == [5, 3, 4, 3]
    assert padded.shape == (4, 5, 4)
    for row, item in enumerate(items):
        torch.testing.assert_close(padded[row, : counts[row]], flat[item], rtol=0, atol=0)
        assert (padded[row, counts[row] :] == 0).all()


@pytest.mark.parametrize(
    ("rows", "counts", "message"),
    [(5, [2, 2], r"expected \(4, D\)"), (2, [2, 0], "item 1 has 0 rows"), (4, [[2, 2]], "shape")],
)
def test_counts_that_do_not_fit_are_refused(rows: int, counts: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Embeddings(torch.zeros(rows, 4), torch.tensor(counts))


def test_no_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="no batch"):
        Embeddings.from_batches([])
