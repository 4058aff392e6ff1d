"""Similarities that a user brings: scored, differentiated and checked like ours."""

import pytest
import torch
from similarity_cases import Batch

import loop_reference as reference
from scan_lightning import (
    Attention,
    Similarity,
    SumMax,
    attend,
    similarity_matrix,
    similarity_pairs,
    triplet_loss,
)
from scan_lightning.errors import ScanError
from scan_lightning.similarity.base import broadcast_matmul
from scan_lightning.testing import _LiveBytes, check_similarity, measure_floats

CLOSE = {"rtol": 1e-10, "atol": 1e-12}
DIM = 16


class Chan(Similarity):
    """The listing of DESIGN.md."""

    def __init__(self, scale: float = 10.0) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, scores, regions, words):
        best = scores.masked_fill(~regions.mask[..., None, :], -torch.inf).amax(-1)
        return torch.logsumexp((self.scale * best).masked_fill(~words.mask, -torch.inf), -1) / self.scale


class Gated(Similarity):
    """Uses everything there is: scores, rows, Gram matrices, norms, masks, parameters and a buffer."""

    floats_per_score = 40

    def __init__(self, dim: int = DIM) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.gate = torch.nn.Linear(dim, 1)
        self.scale = torch.nn.Parameter(torch.tensor(3.0))
        self.register_buffer("threshold", torch.tensor(0.125))

    def forward(self, scores, regions, words):
        logits = (self.scale * scores).masked_fill(~regions.mask[..., None, :], -torch.inf)
        weights = torch.softmax(logits, dim=-1)
        square = (broadcast_matmul(weights, regions.gram) * weights).sum(-1)
        attended = broadcast_matmul(weights, regions.rows)
        extra = (attended * words.rows).sum(-1) - self.threshold  # the same as (weights * scores).sum(-1)
        cosine = (weights * scores).sum(-1) / (words.norm * square.sqrt()).clamp(min=1e-8) + extra
        gates = torch.sigmoid(self.gate(words.rows)[..., 0]).masked_fill(~words.mask, 0)
        return (gates * cosine).sum(-1)


class Derived(Attention):
    """The formula of `Attention` on the path of all others."""


class Pooled(Similarity):
    """The mean of each side through a layer of its own: one dot product of two vectors."""

    def __init__(self, dim: int = DIM) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.image_layer, self.caption_layer = torch.nn.Linear(dim, 5), torch.nn.Linear(dim, 5)

    def pool_images(self, regions):
        return self.image_layer(regions.rows.sum(-2) / regions.count[..., None])

    def pool_captions(self, words):
        return self.caption_layer(words.rows.sum(-2) / words.count[..., None])


def plain(rule, batch, regions, words):
    """The formulas above once more, pair by pair and without masks."""
    rows = []
    for region_count, image in zip(batch.region_counts.tolist(), regions, strict=True):
        row = []
        for word_count, caption in zip(batch.word_counts.tolist(), words, strict=True):
            v, e = image[:region_count], caption[:word_count]
            s = e @ v.T
            if isinstance(rule, Chan):
                row.append(torch.log(torch.exp(rule.scale * s.max(1).values).sum()) / rule.scale)
            elif isinstance(rule, Pooled):
                row.append(rule.image_layer(v.mean(0)) @ rule.caption_layer(e.mean(0)))
            else:
                a = torch.softmax(rule.scale * s, dim=1) @ v
                cosine = torch.cosine_similarity(a, e) + (a * e).sum(1) - 0.125
                row.append((torch.sigmoid(rule.gate(e)[:, 0]) * cosine).sum())
        rows.append(torch.stack(row))
    return torch.stack(rows)


def gradients(function, rule, batch):
    """The value and its gradients: both sides, then the parameters."""
    leaves = batch.leaves()
    value = function(*leaves)
    return [value.detach(), *torch.autograd.grad(value.sum(), [*leaves, *rule.parameters()])]


OWN = [Chan(), Gated().double(), Pooled().double()]


@pytest.fixture(params=OWN, ids=lambda rule: type(rule).__name__)
def rule(request):
    return request.param


@pytest.mark.parametrize("budget", [None, 1], ids=["one block", "tiny blocks"])
def test_matrix_and_gradients_equal_the_plain_formula(rule, budget):
    batch = Batch()
    weights = torch.randn(5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = gradients(
        lambda r, w: weights * similarity_matrix(r, w, rule, memory_budget=budget, **batch.counts),
        rule,
        batch,
    )
    wanted = gradients(lambda r, w: weights * plain(rule, batch, r, w), rule, batch)
    torch.testing.assert_close(found, wanted, **CLOSE)


def test_pairs_and_gradients_equal_the_plain_formula(rule):
    batch, images, captions = Batch(), torch.tensor([0, 3, 3, 1, 4]), torch.tensor([6, 2, 2, 0, 5])
    found = gradients(
        lambda r, w: similarity_pairs(r, w, images, captions, rule, **batch.counts), rule, batch
    )
    wanted = gradients(lambda r, w: plain(rule, batch, r, w)[images, captions], rule, batch)
    torch.testing.assert_close(found, wanted, **CLOSE)


@pytest.mark.parametrize("negatives", ["hardest", "all"])
def test_loss_reaches_embeddings_and_parameters(rule, negatives):
    batch = Batch(images=7, captions=7)
    found = gradients(
        lambda r, w: triplet_loss(r, w, rule, margin=0.3, negatives=negatives, **batch.counts), rule, batch
    )
    wanted = gradients(
        lambda r, w: reference.triplet_loss(plain(rule, batch, r, w), 0.3, negatives), rule, batch
    )
    assert all(grad.abs().max() > 0 for grad in found)
    torch.testing.assert_close(found, wanted, **CLOSE)


def test_without_pairs_parameters_get_a_gradient_of_zero(rule):
    batch = Batch()
    none = torch.empty(0, dtype=torch.int64)
    found = gradients(lambda r, w: similarity_pairs(r, w, none, none, rule, **batch.counts), rule, batch)
    assert found[0].shape == (0,)
    assert all((grad == 0).all() for grad in found[1:])


def test_check_similarity_passes(rule):
    assert check_similarity(rule) <= rule.floats_per_score
    for ours in (Attention("i2t", 4.0), SumMax("t2i", "mean")):
        assert check_similarity(ours) <= ours.floats_per_score


def test_a_parameter_changed_before_the_backward_pass_is_refused():
    batch, rule = Batch(), Gated().double()
    scores = similarity_matrix(batch.regions, batch.words, rule, **batch.counts)
    with torch.no_grad():
        rule.scale.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        scores.sum().backward()


def test_half_precision_embeddings_and_autocast_change_nothing_after_the_product():
    batch, rule = Batch(dtype=torch.bfloat16), Gated()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = similarity_matrix(batch.regions, batch.words, rule, **batch.counts)
    wanted = plain(rule, batch, batch.regions.float(), batch.words.float())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_a_vector_product_encodes_each_item_once(monkeypatch):
    batch, rule, encoded = Batch(), Pooled().double(), []
    layer = rule.image_layer.forward
    monkeypatch.setattr(rule.image_layer, "forward", lambda rows: encoded.append(len(rows)) or layer(rows))
    similarity_matrix(batch.regions, batch.words, rule, memory_budget=1, **batch.counts)
    assert encoded == [1] * 5
    encoded.clear()
    similarity_pairs(batch.regions, batch.words, [2, 2, 4], [0, 1, 2], rule, **batch.counts)
    assert encoded == [2]


@pytest.mark.parametrize("rule", [Chan(), Attention("t2i"), Derived("t2i"), Derived("i2t")], ids=str)
def test_memory_stays_within_the_budget_forward_and_backward(rule):
    batch, budget = Batch(60, 36, 80, 12, 32, dtype=torch.float32), 2**20
    regions, words = batch.leaves()
    with _LiveBytes() as counted:
        similarity_matrix(regions, words, rule, memory_budget=budget, **batch.counts).sum().backward()
    result_and_gradients = 4 * (3 * 60 * 80 + 2 * (regions.numel() + words.numel()))
    assert counted.peak < budget + result_and_gradients
    assert counted.peak > budget / 4


def test_no_explanation_is_a_clear_error():
    batch = Batch()
    with pytest.raises(ScanError, match="Chan has no attention weights to show: it does not define explain"):
        attend(batch.regions[0, :1], batch.words[0, :1], Chan())


class Shape(Chan):
    def forward(self, scores, regions, words):
        return super().forward(scores, regions, words)[..., None]


class BlockShape(Chan):
    def forward(self, scores, regions, words):
        return super().forward(scores, regions, words).sum(0) if scores.dim() == 4 else scores.sum((-1, -2))


class NanAtPadding(Chan):
    def forward(self, scores, regions, words):
        cosine = scores / (regions.norm[..., None, :] * words.norm[..., None])
        return (cosine * regions.mask[..., None, :] * words.mask[..., None]).sum((-1, -2))


class CountsPadding(Chan):
    def forward(self, scores, regions, words):
        return scores.mean((-1, -2))


class Neighbours(Chan):
    def forward(self, scores, regions, words):
        found = super().forward(scores, regions, words)
        return found - found.mean()


class Detached(Chan):
    def forward(self, scores, regions, words):
        return (
            super().forward(scores.detach(), regions, words)
            if scores.dim() > 2
            else super().forward(scores, regions, words)
        )


class Hungry(Chan):
    def forward(self, scores, regions, words):
        return super().forward(torch.stack([scores] * 40).mean(0), regions, words)


class OnlyBlocks(Chan):
    def forward(self, scores, regions, words):
        images, captions, _, _ = scores.shape
        return super().forward(scores, regions, words).view(images, captions)


class Unpooled(SumMax):
    def explain(self, scores, regions, words):
        weights, relevance = super().explain(scores, regions, words)
        return weights, relevance / 2


@pytest.mark.parametrize(
    ("faulty", "message"),
    [
        (Shape(), r"Shape fails shape: .*\(1,\)"),
        (BlockShape(), r"BlockShape fails shape: .*BlockShape.forward returned shape \(.*expected shape"),
        (NanAtPadding(), "NanAtPadding fails padding: "),
        (CountsPadding(), "CountsPadding fails padding: "),
        (Neighbours(), "Neighbours fails neighbours: the score of a pair depends on that pair alone"),
        (Detached(), "Detached fails gradients: "),
        (Hungry(), r"Hungry fails floats_per_score: .* 12 declared; declare 4\d"),
        (OnlyBlocks(), "OnlyBlocks fails shape: .*not enough values to unpack"),
        (Unpooled("t2i"), "Unpooled fails explain: "),
    ],
    ids=lambda value: type(value).__name__,
)
def test_check_similarity_names_the_property_that_fails(faulty, message):
    with pytest.raises(AssertionError, match="(?s)" + message):
        check_similarity(faulty)


def test_the_engine_names_a_wrong_shape():
    batch = Batch()
    with pytest.raises(
        ScanError, match=r"Shape.forward returned shape \(5, .*, 1\) .* one similarity for each"
    ):
        similarity_matrix(batch.regions, batch.words, Shape(), **batch.counts)
    with pytest.raises(ScanError, match=r"Shape.forward returned shape \(2, 1\) for scores of shape \(2, "):
        similarity_pairs(batch.regions, batch.words, [0, 1], [0, 1], Shape(), **batch.counts)


def test_measured_floats_grow_with_what_forward_allocates():
    assert measure_floats(Chan()) < 5
    assert 40 < measure_floats(Hungry()) < 50
