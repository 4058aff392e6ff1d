"""The encoders against plain loops, and their initialisation against the released code's description."""

from __future__ import annotations

import math

import pytest
import torch
from scan_lightning.choices import Direction, Rule
from scan_lightning.settings import AttentionConfig, ModelConfig
from torch import Tensor, nn

from scan_lightning.model.encoders import ImageEncoder, TextEncoder, l2_normalise
from scan_lightning.model.scan import ScanModel, build_rule
from scan_lightning.similarity import Attention, SumMax

VOCABULARY = 11


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
    encoder = ImageEncoder(6, 4)
    regions = torch.randn(3, 5, 6).half()
    found = encoder(regions)
    assert found.dtype == torch.float32
    for image in range(3):
        for region in range(5):
            row = encoder.fc.weight @ regions[image, region].float() + encoder.fc.bias
            assert torch.allclose(found[image, region], plain_l2(row), atol=1e-6)


def test_image_encoder_starts_as_released() -> None:
    torch.manual_seed(0)
    layer = ImageEncoder(300, 200).fc
    bound = math.sqrt(6 / 500)  # Xavier uniform
    assert layer.bias.count_nonzero() == 0
    assert bound * 0.999 < layer.weight.abs().max() <= bound
    assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.01)


def test_weight_norm_has_one_length_for_the_whole_matrix() -> None:
    torch.manual_seed(0)
    encoder = ImageEncoder(6, 4, normalize=False, weight_norm=True)
    torch.manual_seed(0)
    plain = nn.Linear(6, 4)
    names = dict(encoder.fc.named_parameters())
    length, direction = names["parametrizations.weight.original0"], names["parametrizations.weight.original1"]
    assert length.numel() == 1
    assert torch.allclose(length.squeeze(), plain.weight.norm())
    regions = torch.randn(2, 3, 6)
    assert torch.allclose(encoder(regions), plain(regions), atol=1e-6)
    with torch.no_grad():
        length.mul_(2)
    assert torch.allclose(
        encoder.fc.weight, 2 * direction / direction.norm() * plain.weight.norm(), atol=1e-6
    )


def make_text_encoder(**options: bool) -> TextEncoder:
    torch.manual_seed(0)
    return TextEncoder(VOCABULARY, 5, 6, **options)


def plain_text(encoder: TextEncoder, ids: list[int], *, bidirectional: bool, normalize: bool) -> Tensor:
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
    encoder = make_text_encoder(bidirectional=bidirectional, normalize=normalize)
    captions = [[1, 4, 2], [1, 5, 6, 7, 8, 2], [1, 2], [1, 9, 10, 2], [1, 3, 3, 3, 2]]
    tokens = torch.full((5, 6), 7)  # padding may be anything
    for row, ids in enumerate(captions):
        tokens[row, : len(ids)] = torch.tensor(ids)
    counts = torch.tensor([len(ids) for ids in captions])
    found = encoder(tokens, counts)
    assert found.shape == (5, 6, 6)
    for row, ids in enumerate(captions):
        expected = plain_text(encoder, ids, bidirectional=bidirectional, normalize=normalize)
        assert torch.allclose(found[row, : len(ids)], expected, atol=1e-6)
        assert found[row, len(ids) :].count_nonzero() == 0


def test_text_encoder_starts_as_released() -> None:
    torch.manual_seed(0)
    weight = TextEncoder(2000, 300, 8).embed.weight
    assert 0.0999 < weight.abs().max() <= 0.1
    assert weight.std().item() == pytest.approx(0.1 / math.sqrt(3), rel=0.01)


def test_weights_have_the_names_of_the_released_code() -> None:
    names = set(ScanModel(6, VOCABULARY, ModelConfig(embed_size=4, word_size=3)).state_dict())
    assert {"image_encoder.fc.weight", "image_encoder.fc.bias", "text_encoder.embed.weight"} <= names
    assert {"text_encoder.rnn.weight_ih_l0", "text_encoder.rnn.bias_hh_l0_reverse"} <= names


def test_both_normalisations_are_switched_apart() -> None:
    tokens, counts = torch.tensor([[1, 4, 2]]), torch.tensor([3])
    regions, region_counts = torch.randn(1, 2, 6), torch.tensor([2])
    for of_regions in (True, False):
        for of_words in (True, False):
            config = ModelConfig(
                embed_size=4, word_size=3, normalize_regions=of_regions, normalize_words=of_words
            )
            model = ScanModel(6, VOCABULARY, config)
            lengths = model.encode_images(regions, region_counts).norm(dim=-1)
            assert torch.allclose(lengths, torch.ones_like(lengths)) is of_regions
            lengths = model.encode_captions(tokens, counts).norm(dim=-1)
            assert torch.allclose(lengths, torch.ones_like(lengths)) is of_words


def test_padding_regions_become_zero_whatever_they_hold() -> None:
    model = ScanModel(6, VOCABULARY, ModelConfig(embed_size=4, word_size=3))
    regions = torch.randn(2, 3, 6)
    regions[0, 1:] = torch.nan
    found = model.encode_images(regions, torch.tensor([1, 3]))
    assert found.isfinite().all()
    assert found[0, 1:].count_nonzero() == 0
    assert torch.equal(found[1], model.encode_images(regions[1:], torch.tensor([3]))[0])


def test_no_items_are_no_error() -> None:
    model = ScanModel(6, VOCABULARY, ModelConfig(embed_size=4, word_size=3))
    none = torch.zeros(0, dtype=torch.int64)
    assert model.encode_images(torch.zeros(0, 1, 6), none).shape == (0, 1, 4)
    assert model.encode_captions(torch.zeros(0, 1, dtype=torch.int64), none).shape == (0, 1, 4)


def test_the_configuration_becomes_a_rule() -> None:
    config = AttentionConfig(direction=Direction.i2t, smoothing=4.0, lse_scale=5.0)
    assert build_rule(config) == Attention(
        direction="i2t", smoothing=4.0, raw_norm="clipped_l2norm", aggregation="mean", lse_scale=5.0
    )
    assert build_rule(AttentionConfig(rule=Rule.summax)) == SumMax(direction="t2i")
