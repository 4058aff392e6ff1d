import errno
import os
from pathlib import Path

import pytest
import torch

from scan_lightning.errors import ScanError
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


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
def test_rows_put_in_any_order_are_those_of_from_batches(
    tmp_path: Path, on_disk: bool, dtype: torch.dtype
) -> None:
    batches = padded_batches()
    expected = Embeddings.from_batches(batches)
    filled = Embeddings.allocate(expected.counts, 4, dtype=dtype, folder=tmp_path if on_disk else None)
    filled.put(torch.tensor([3, 4, 5]), batches[2][0])
    filled.put(torch.tensor([0, 1]), batches[0][0])
    filled.put(torch.tensor([2]), batches[1][0])
    torch.testing.assert_close(filled.packed, expected.packed.to(dtype), rtol=0, atol=0)
    padded, _ = filled.take(torch.arange(6), CPU)
    assert padded.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


def test_a_file_of_embeddings_has_no_name_to_be_left_behind(tmp_path: Path) -> None:
    held = Embeddings.allocate(torch.tensor([2, 3]), 4, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
    held.packed.fill_(1.5)
    assert held.packed.sum() == 30


def test_a_full_disk_is_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ScanError, match=r"no room for the embeddings, 0\.2 GiB \(No space left on device\)"):
        Embeddings.allocate(torch.tensor([2**14]), 2**12, folder=tmp_path)


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
