"""The fused kernel against the reference: on the GPU where there is one, else in Triton's interpreter."""

import pytest
import torch
from similarity_cases import Batch, all_rules, few_rules, poison

import loop_reference as reference
from scan_lightning.similarity import Attention, Similarity, SumMax, kernels, similarity_matrix
from scan_lightning.similarity.kernels import LONGEST, usable

pytest.importorskip("triton", reason="Triton is not installed")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(autouse=True)
def launches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the kernel run on this device, and count its launches."""
    if DEVICE == "cpu":
        monkeypatch.setenv("TRITON_INTERPRET", "1")
    count: list[int] = []
    launch = kernels.score_block_fused

    def counted(*arguments):
        count.append(1)
        return launch(*arguments)

    monkeypatch.setattr(kernels, "score_block_fused", counted)
    return count


def single(**sizes) -> Batch:
    batch = Batch(dtype=torch.float32, **sizes)
    batch.regions, batch.words = batch.regions.to(DEVICE), batch.words.to(DEVICE)
    return batch


def exact(batch: Batch, rule):
    return reference.similarity_matrix(
        batch.regions.double().cpu(), batch.words.double().cpu(), rule, **batch.counts
    ).float()


@all_rules
def test_equals_the_reference(rule, launches):
    batch = single(images=3, captions=4)
    found = similarity_matrix(batch.regions, batch.words, rule, **batch.counts)
    torch.testing.assert_close(found.cpu(), exact(batch, rule), **CLOSE)
    assert launches


@few_rules
@pytest.mark.parametrize(
    "sizes",
    [(1, 1, 1, 1), (2, 17, 1, 3), (1, 3, 2, 18), (2, 36, 2, 20)],
    ids=["one of each", "more regions than a tile", "more words than a tile", "36 regions, 20 words"],
)
def test_odd_shapes(rule, sizes, launches):
    images, regions, captions, words = sizes
    batch = single(images=images, regions=regions, captions=captions, words=words)
    found = similarity_matrix(batch.regions, batch.words, rule, **batch.counts)
    torch.testing.assert_close(found.cpu(), exact(batch, rule), **CLOSE)
    assert launches


@few_rules
def test_zero_rows_and_blocks(rule, launches):
    batch = single(images=3, captions=4)
    batch.regions[0, 0] = 0
    batch.words[1, 0] = 0
    whole = similarity_matrix(batch.regions, batch.words, rule, **batch.counts)
    assert len(launches) == 1
    torch.testing.assert_close(whole.cpu(), exact(batch, rule), **CLOSE)
    cut = similarity_matrix(batch.regions, batch.words, rule, memory_budget=1, **batch.counts)
    assert len(launches) > 2
    torch.testing.assert_close(cut, whole, **CLOSE)


@few_rules
def test_gradients_go_through_the_recompute(rule):
    batch = single(images=3, captions=4)
    for padded, counts in ((batch.regions, batch.region_counts), (batch.words, batch.word_counts)):
        poison(padded, counts, 0.5)
    weights = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))

    def gradients(scores, leaves):
        return torch.autograd.grad((scores * weights.to(scores)).sum(), leaves)

    leaves = batch.leaves()
    ours = gradients(similarity_matrix(*leaves, rule, **batch.counts), leaves)
    wide = [leaf.detach().double().cpu().requires_grad_() for leaf in leaves]
    expected = gradients(reference.similarity_matrix(*wide, rule, **batch.counts), wide)
    for found, wanted in zip(ours, expected, strict=True):
        torch.testing.assert_close(found.double().cpu(), wanted, **CLOSE)


def test_what_does_not_fit_goes_to_pytorch(launches):
    scores = torch.zeros(1, 1, device=DEVICE)
    assert usable(SumMax("t2i"), scores, LONGEST, LONGEST)
    assert not usable(SumMax("t2i"), scores, LONGEST + 1, 1)
    assert not usable(SumMax("t2i"), scores, 1, LONGEST + 1)
    assert not usable(SumMax("t2i"), scores.double(), 1, 1)
    batch = single(images=1, captions=1, regions=1, words=LONGEST + 1)
    batch.word_counts = torch.tensor([LONGEST + 1])
    poison(batch.words, torch.tensor([0]), 0.1)
    found = similarity_matrix(batch.regions, batch.words, SumMax("t2i"), **batch.counts)
    assert not launches
    torch.testing.assert_close(found.cpu(), exact(batch, SumMax("t2i")), **CLOSE)


class Halved(Attention):
    def forward(self, scores, regions, words):
        return super().forward(scores, regions, words) / 2


class Unknown(Similarity):
    def forward(self, scores, regions, words):
        return (scores / regions.count[..., None, None]).sum((-1, -2))


def test_a_similarity_it_was_not_written_for_never_reaches_it(launches):
    batch = single(images=3, captions=4)
    halved = similarity_matrix(batch.regions, batch.words, Halved("t2i"), **batch.counts)
    assert not launches
    torch.testing.assert_close(halved.cpu(), exact(batch, Attention("t2i")) / 2, **CLOSE)
    found = similarity_matrix(batch.regions, batch.words, Unknown(), **batch.counts).cpu()
    assert not launches
    mean = batch.regions[1, : batch.region_counts[1]].mean(0) @ batch.words[2, : batch.word_counts[2]].sum(0)
    torch.testing.assert_close(found[1, 2], mean.cpu(), **CLOSE)
    similarity_matrix(batch.regions, batch.words, Attention("t2i"), **batch.counts)
    assert launches


@pytest.mark.skipif(DEVICE == "cuda", reason="needs a machine without a GPU")
def test_on_the_cpu_only_in_the_interpreter(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET")
    assert not usable(SumMax("t2i"), torch.zeros(1, 1), 1, 1)
