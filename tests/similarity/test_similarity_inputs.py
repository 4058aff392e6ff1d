"""Bad input: every public function refuses it with one clear message."""

import pytest
import torch
from similarity_cases import Batch

from scan_lightning.similarity import SumMax, similarity_matrix, similarity_pairs, triplet_loss
from scan_lightning.similarity.inputs import block_rows, sorted_blocks

RULE = SumMax("t2i")
BATCH = Batch(images=7, captions=7)
FUNCTIONS = {
    "similarity_matrix": similarity_matrix,
    "similarity_pairs": lambda r, w, rule, **counts: similarity_pairs(r, w, [0], [0], rule, **counts),
    "triplet_loss": triplet_loss,
}
FAULTS = {
    "regions of rank 2": (
        {"regions": BATCH.regions[0]},
        r"regions must have 3 dimensions .* not shape \(6, 16\)",
    ),
    "words of rank 4": ({"words": BATCH.words[None]}, "words must have 3 dimensions"),
    "integers": (
        {"words": torch.ones(7, 2, 16, dtype=torch.int64)},
        "words must hold floating-point numbers",
    ),
    "empty": ({"regions": torch.ones(7, 0, 16)}, r"regions has no elements: shape \(7, 0, 16\)"),
    "other dim": ({"words": BATCH.words[:, :, :8]}, "same dim, not 16 and 8"),
    "count of 0": (
        {"word_counts": torch.tensor([1, 1, 0, 1, 1, 1, 1])},
        r"at least 1; word_counts\[2\] is 0",
    ),
    "count too large": ({"region_counts": torch.tensor([7] * 7)}, r"at most 6 .*; region_counts\[0\] is 7"),
    "too few counts": ({"region_counts": torch.tensor([1, 2])}, r"region_counts must have shape \(7,\)"),
    "fractional counts": (
        {"word_counts": torch.ones(7)},
        "word_counts must hold integers, not torch.float32",
    ),
    "a name for a rule": ({"rule": "t2i"}, "rule must be a Similarity, such as Attention, not str"),
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS.keys())
@pytest.mark.parametrize(("change", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_refuses(function, change, message):
    arguments = {"regions": BATCH.regions, "words": BATCH.words, "rule": RULE, **BATCH.counts, **change}
    with pytest.raises(ValueError, match=message):
        function(arguments.pop("regions"), arguments.pop("words"), arguments.pop("rule"), **arguments)


@pytest.mark.parametrize("budget", [0, -5, float("nan"), "512", True])
def test_refuses_a_budget_that_is_none(budget):
    with pytest.raises(ValueError, match="memory_budget must be a"):
        similarity_matrix(BATCH.regions, BATCH.words, RULE, memory_budget=budget)


def test_counts_may_be_lists_or_of_another_integer_type():
    wanted = similarity_matrix(BATCH.regions, BATCH.words, RULE, **BATCH.counts)
    for change in (torch.Tensor.tolist, torch.Tensor.int):
        counts = {key: change(value) for key, value in BATCH.counts.items()}
        assert torch.equal(similarity_matrix(BATCH.regions, BATCH.words, RULE, **counts), wanted)


def test_blocks_are_sorted_runs_that_cover_everything_within_the_limit():
    counts = torch.tensor([3, 9, 1, 3, 3, 20, 1])
    blocks = [block.tolist() for block in sorted_blocks(counts, 9)]
    assert blocks == [[2, 6, 0], [3, 4], [1], [5]]  # an item larger than the limit stands alone


def test_block_size_keeps_the_working_set_within_the_budget():
    for budget in (1, 10**6, 512 * 2**20):
        r, w = block_rows(budget, 1024, torch.float32, torch.device("cuda"), copies=4)
        assert 4 * 4 * (r * w + 1024 * (r + w)) <= max(budget, 4 * 4 * 2049)
