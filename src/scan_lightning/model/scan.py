"""The two encoders as one module, with the normalisation of their outputs (paper, section 3.1).

Shapes: n items, k regions, t tokens, w words, F feature width, D embedding width.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from scan_lightning.data.batches import PairBatch
from scan_lightning.data.text import Vocabulary
from scan_lightning.model.encoders import GRUEncoder, LinearEncoder, at_least_fp32, l2_normalise
from scan_lightning.options import Range
from scan_lightning.specification import Configurable


@dataclass(frozen=True)
class Embedded:
    """Pairs of images and captions.

    Attributes:
        regions: (n, K, D) fp32.
        words: (n, W, D) fp32.
        region_counts: (n,) int64, on the CPU.
        word_counts: (n,) int64, on the CPU.
    """

    regions: Tensor
    words: Tensor
    region_counts: Tensor
    word_counts: Tensor

    def __len__(self) -> int:
        return len(self.region_counts)


class ScanModel(Configurable, nn.Module):
    """A region encoder and a text encoder into one space.

    Args:
        feature_dim: F, width of the region features
        vocabulary: words of the released text encoder; an own text encoder may ignore it
        embed_size: D, width of the space that regions and words share
        word_size: width of a word's embedding, the input of the GRU
        bidirectional: read captions in both directions and average
        normalize_regions: divide each region's vector by its L2 norm
        normalize_words: divide each word's vector by its L2 norm
        weight_norm: weight-normalised region projection
        regions: class of an own region encoder, called with those of feature_dim and embed_size it takes
        words: class of an own text encoder, called with those of vocabulary and embed_size it takes

    Raises:
        ValueError: an argument of another type or out of its range.
    """

    def __init__(
        self,
        feature_dim: Annotated[int, Range(at_least=1)],
        vocabulary: Vocabulary | None = None,
        embed_size: Annotated[int, Range(at_least=1)] = 1024,
        word_size: Annotated[int, Range(at_least=1)] = 300,
        bidirectional: bool = True,
        normalize_regions: bool = True,
        normalize_words: bool = True,
        weight_norm: bool = False,
        regions: Callable[..., nn.Module] | None = None,
        words: Callable[..., nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.feature_dim, self.embed_size = feature_dim, embed_size
        self.normalize_regions, self.normalize_words = normalize_regions, normalize_words
        self.image_encoder: nn.Module
        self.text_encoder: nn.Module
        if regions is None:
            self.image_encoder = LinearEncoder(feature_dim, embed_size, weight_norm=weight_norm)
        else:
            self.image_encoder = _build(regions, feature_dim=feature_dim, embed_size=embed_size)
        if words is not None:
            self.text_encoder = _build(words, vocabulary=vocabulary, embed_size=embed_size)
        elif vocabulary is None:
            raise ValueError("vocabulary is needed by the released text encoder, not None")
        else:
            self.text_encoder = GRUEncoder(vocabulary, word_size, embed_size, bidirectional=bidirectional)

    def encode_images(self, regions: Tensor, counts: Tensor) -> Tensor:
        """Embed regions.

        Args:
            regions: (n, k, F) features of any float dtype.
            counts: (n,) regions of each image; the others are padding.

        Returns:
            (n, k, D) fp32 (fp64 in an fp64 model), zero past a count.
        """
        embedded: Tensor = self.image_encoder(regions, counts)
        embedded = l2_normalise(embedded) if self.normalize_regions else at_least_fp32(embedded)
        padding = torch.arange(regions.shape[1], device=counts.device) >= counts[:, None]
        return embedded.masked_fill(padding[..., None], 0.0)

    def encode_captions(self, tokens: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Embed captions.

        Args:
            tokens: (n, t) int64 ids of the text encoder.
            counts: (n,) tokens of each caption, at least 1; the others are padding.

        Returns:
            (n, w, D) fp32 (fp64 in an fp64 model), zero past a count, and (n,) words of each caption.
        """
        embedded, words = self.text_encoder(tokens, counts)
        embedded = l2_normalise(embedded) if self.normalize_words else at_least_fp32(embedded)
        padding = (
            torch.arange(embedded.shape[1], device=embedded.device) >= words.to(embedded.device)[:, None]
        )
        return embedded.masked_fill(padding[..., None], 0.0), words


def encode_pairs(model: ScanModel, batch: PairBatch, micro_batches: int = 1) -> Embedded:
    """Embed a batch.

    In parts, only the embeddings of a part are kept; in the backward pass each is encoded again, and its
    gradient added to the others'. So a step takes the memory of one part's encoders, and its gradient is that
    of one step over all pairs.

    Args:
        model: the encoders.
        batch: pairs. Without any, the empty embeddings still depend on every parameter: other processes have
            pairs and wait for the gradient of this one.
        micro_batches: how many parts.
    """
    images, captions = batch.images, batch.captions
    if not len(batch):
        nothing = torch.cat([parameter.flatten()[:0] for parameter in model.parameters()])
        empty = nothing.reshape(0, 1, model.embed_size)
        return Embedded(empty, empty, images.counts.cpu(), captions.counts.cpu())
    if micro_batches == 1:
        regions = model.encode_images(images.regions, images.counts)
        words, word_counts = model.encode_captions(captions.tokens, captions.counts)
        return Embedded(regions, words, images.counts.cpu(), word_counts.cpu())
    part = -(-len(batch) // micro_batches)
    regions = torch.cat(_in_parts(model.encode_images, images.regions, images.counts, part))
    words_parts, count_parts = zip(
        *_in_parts(model.encode_captions, captions.tokens, captions.counts, part), strict=True
    )
    return Embedded(regions, torch.cat(words_parts), images.counts.cpu(), torch.cat(count_parts).cpu())


def _in_parts(encoder: Callable[..., object], items: Tensor, counts: Tensor, part: int) -> list[Tensor]:
    pieces = zip(torch.split(items, part), torch.split(counts, part), strict=True)
    return [checkpoint(encoder, *piece, use_reentrant=False) for piece in pieces]


def _build(encoder: Callable[..., nn.Module], **arguments: Any) -> nn.Module:
    taken = inspect.signature(encoder).parameters
    return encoder(**{name: value for name, value in arguments.items() if name in taken})
