"""The encoders against plain loops, and their initialisation against the released code's description."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from scan_lightning.data.text import SPECIALS, Vocabulary
from scan_lightning.model.encoders import GRUEncoder, LinearEncoder, l2_normalise
from scan_lightning.model.scan import ScanModel


def vocabulary(size: int = 11) -> Vocabulary:
    return Vocabulary([*SPECIALS, *(f"w{number}" for number in range(size - len(SPECIALS)))])


def make_model(**options: bool) -> ScanModel:
    return ScanModel(6, vocabulary(), embed_size=4, word_size=3, **options)


def plain_l2(x: Tensor) -> Tensor:
    return x / (x.pow(2).sum(-1, keepdim=True).sqrt() + 1e-8)


def test_l2_normalise_is_the_formula_and_has_its_gradient() -> None:
    x = torch.randn(4, 3, 5, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(4, 3, 5, dtype=torch.float64)
    assert torch.allclose(l2_normalise(x), plain_l2(x), atol=1e-15)
    (found,) = torch.autograd.grad((l2_normalise(x) * weights).sum(), x)
    (expected,) = torch.autograd.grad((plain_l2(x) * weights).sum(), x)
    assert torch.allclose(found, expected, atol=1e-14)


def test_a_zero_row_stays_zero_and_takes_no_gradient() -> None:
    x = torch.zeros(2, 3)
    x[1] = torch.tensor([1.0, 2.0, 2.0])
    x.requires_grad_()
    unit = l2_normalise(x)
    assert unit[0].tolist() == [0.0, 0.0, 0.0]
    unit.sum().backward()
    assert x.grad is not None
    assert x.grad[0].tolist() == [0.0, 0.0, 0.0]
    assert x.grad.isfinite().all()


@pytest.mark.parametrize(("given", "returned"), [("float16", "float32"), ("float64", "float64")])
def test_l2_normalise_works_in_fp32_at_least(given: str, returned: str) -> None:
    # the square of 300 overflows fp16
    unit = l2_normalise(torch.full((1, 4), 300.0, dtype=getattr(torch, given)))
    assert unit.dtype == getattr(torch, returned)
    assert torch.allclose(unit.float(), torch.full((1, 4), 0.5))


def test_regions_are_projected_one_by_one() -> None:
    model = make_model()
    fc = model.image_encoder.fc
    regions = torch.randn(3, 5, 6).half()
    found = model.encode_images(regions, torch.tensor([5, 5, 5]))
    assert found.dtype == torch.float32
    for image in range(3):
        for region in range(5):
            row = fc.weight @ regions[image, region].float() + fc.bias
            assert torch.allclose(found[image, region], plain_l2(row), atol=1e-6)


def test_image_encoder_starts_as_released() -> None:
    torch.manual_seed(0)
    layer = LinearEncoder(300, 200).fc
    bound = math.sqrt(6 / 500)  # Xavier uniform
    assert layer.bias.count_nonzero() == 0
    assert bound * 0.999 < layer.weight.abs().max() <= bound
    assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.01)


def test_weight_norm_has_one_length_for_the_whole_matrix() -> None:
    torch.manual_seed(0)
    encoder = LinearEncoder(6, 4, weight_norm=True)
    torch.manual_seed(0)
    plain = nn.Linear(6, 4)
    names = dict(encoder.fc.named_parameters())
    length, direction = names["parametrizations.weight.original0"], names["parametrizations.weight.original1"]
    assert length.numel() == 1
    assert torch.allclose(length.squeeze(), plain.weight.norm())
    regions = torch.randn(2, 3, 6)
    assert torch.allclose(encoder(regions, torch.tensor([3, 3])), plain(regions), atol=1e-6)
    with torch.no_grad():
        length.mul_(2)
    assert torch.allclose(
        encoder.fc.weight, 2 * direction / direction.norm() * plain.weight.norm(), atol=1e-6
    )


def plain_text(encoder: GRUEncoder, ids: list[int], *, bidirectional: bool, normalize: bool) -> Tensor:
    """One caption, read by torch's one-step cell, without packing or padding."""

    def read(words: Tensor, suffix: str) -> Tensor:
        cell = nn.GRUCell(5, 6)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            setattr(cell, name, nn.Parameter(getattr(encoder.rnn, f"{name}_l0{suffix}").detach()))
        h, states = torch.zeros(1, 6), []
        for word in words:
            h = cell(word[None], h)
            states.append(h[0])
        return torch.stack(states)

    words = encoder.embed.weight[ids]
    states = read(words, "")
    if bidirectional:
        states = (states + read(words.flip(0), "_reverse").flip(0)) / 2
    return plain_l2(states) if normalize else states


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_captions_are_read_one_by_one_in_their_order(bidirectional: bool, normalize: bool) -> None:
    model = ScanModel(
        6, vocabulary(), embed_size=6, word_size=5, bidirectional=bidirectional, normalize_words=normalize
    )
    captions = [[1, 4, 2], [1, 5, 6, 7, 8, 2], [1, 2], [1, 9, 10, 2], [1, 3, 3, 3, 2]]
    tokens = torch.full((5, 6), 7)  # padding may be anything
    for row, ids in enumerate(captions):
        tokens[row, : len(ids)] = torch.tensor(ids)
    counts = torch.tensor([len(ids) for ids in captions])
    found, words = model.encode_captions(tokens, counts)
    assert found.shape == (5, 6, 6)
    assert torch.equal(words, counts)
    for row, ids in enumerate(captions):
        expected = plain_text(model.text_encoder, ids, bidirectional=bidirectional, normalize=normalize)
        assert torch.allclose(found[row, : len(ids)], expected, atol=1e-6)
        assert found[row, len(ids) :].count_nonzero() == 0


def test_text_encoder_starts_as_released() -> None:
    torch.manual_seed(0)
    weight = GRUEncoder(vocabulary(2000), 300, 8).embed.weight
    assert 0.0999 < weight.abs().max() <= 0.1
    assert weight.std().item() == pytest.approx(0.1 / math.sqrt(3), rel=0.01)


def test_weights_have_the_names_of_the_released_code() -> None:
    names = set(make_model().state_dict())
    assert {"image_encoder.fc.weight", "image_encoder.fc.bias", "text_encoder.embed.weight"} <= names
    assert {"text_encoder.rnn.weight_ih_l0", "text_encoder.rnn.bias_hh_l0_reverse"} <= names


def test_both_normalisations_are_switched_apart() -> None:
    tokens, counts = torch.tensor([[1, 4, 2]]), torch.tensor([3])
    regions, region_counts = torch.randn(1, 2, 6), torch.tensor([2])
    for of_regions in (True, False):
        for of_words in (True, False):
            model = make_model(normalize_regions=of_regions, normalize_words=of_words)
            lengths = model.encode_images(regions, region_counts).norm(dim=-1)
            assert torch.allclose(lengths, torch.ones_like(lengths)) is of_regions
            lengths = model.encode_captions(tokens, counts)[0].norm(dim=-1)
            assert torch.allclose(lengths, torch.ones_like(lengths)) is of_words


def test_padding_regions_become_zero_whatever_they_hold() -> None:
    model = make_model()
    regions = torch.randn(2, 3, 6)
    regions[0, 1:] = torch.nan
    found = model.encode_images(regions, torch.tensor([1, 3]))
    assert found.isfinite().all()
    assert found[0, 1:].count_nonzero() == 0
    assert torch.equal(found[1], model.encode_images(regions[1:], torch.tensor([3]))[0])


def test_no_items_are_no_error() -> None:
    model = make_model()
    none = torch.zeros(0, dtype=torch.int64)
    assert model.encode_images(torch.zeros(0, 1, 6), none).shape == (0, 1, 4)
    assert model.encode_captions(torch.zeros(0, 1, dtype=torch.int64), none)[0].shape == (0, 1, 4)


class Pairwise(nn.Module):
    """A text encoder of one's own: a row for every two tokens, no vocabulary."""

    def __init__(self, embed_size: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, embed_size)

    def forward(self, tokens: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        rows = self.embed(tokens)
        return rows[:, 0::2] + rows[:, 1::2], (counts + 1) // 2


def test_encoders_of_ones_own_are_given_what_they_take() -> None:
    """Rows, padding and normalisation follow the counts that the encoder returns."""

    class Doubled(LinearEncoder):
        def __init__(self, feature_dim: int, embed_size: int) -> None:
            super().__init__(feature_dim, embed_size)

    model = ScanModel(6, embed_size=4, regions=Doubled, words=Pairwise)
    assert isinstance(model.image_encoder, Doubled)
    words, counts = model.encode_captions(torch.tensor([[1, 5, 6, 2], [1, 2, 0, 0]]), torch.tensor([4, 2]))
    assert (words.shape, counts.tolist()) == ((2, 2, 4), [2, 1])
    assert words[1, 1].count_nonzero() == 0
    embed = model.text_encoder.embed.weight
    assert torch.allclose(words[0, 1], plain_l2(embed[6] + embed[2]), atol=1e-6)


def test_the_released_text_encoder_needs_a_vocabulary() -> None:
    with pytest.raises(ValueError, match="vocabulary is needed"):
        ScanModel(6)
