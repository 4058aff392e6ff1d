"""A trained model in use: it scores pictures against sentences and shows what they look at in each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from scan_lightning.model.scan import ScanModel
from scan_lightning.similarity import Similarity, attend, similarity_matrix

IMAGE_BLOCK = 128  # items encoded at a time by `similarity`
CAPTION_BLOCK = 512

Features: TypeAlias = Tensor | np.ndarray


@dataclass(frozen=True)
class Attended:
    """What one caption and one image look at in each other; unpacks as tokens, weights, relevance.

    Attributes:
        tokens: the caption's n tokens with `<start>` and `<end>`, as written (lower-cased), known or not.
        weights: (queries, context), rows sum to 1: (n, k) for t2i, (k, n) for i2t.
        relevance: (queries,) cosine of each query with what it attends to.
    """

    tokens: list[str]
    weights: Tensor
    relevance: Tensor

    def __iter__(self) -> Iterator[Any]:
        return iter((self.tokens, self.weights, self.relevance))


class TrainedModel:
    """A model ready to score and to explain.

    Args:
        network: the encoders; put into evaluation mode.
        similarity: of an image and a caption.
    """

    def __init__(self, network: ScanModel, similarity: Similarity) -> None:
        self.network, self.rule = network.eval(), similarity.eval()

    @property
    def feature_dim(self) -> int:
        """Width of the region features it takes."""
        return self.network.feature_dim

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.network.parameters()).device

    def to(self, device: torch.device | str) -> TrainedModel:
        """Move it to another device, in place, and return it."""
        self.network.to(device)
        self.rule.to(device)
        return self

    @torch.no_grad()
    def encode_images(self, features: Features, counts: Tensor | None = None) -> Tensor:
        """Embed images.

        Args:
            features: (n, k, F) region features of any float dtype.
            counts: (n,) integers, regions of each image; the others are padding. None: all k.

        Returns:
            (n, k, D) float32 on the model's device, zero past each count.

        Raises:
            ValueError: another shape or width, a count outside 1 to k, or NaN or infinity in a region that
                counts.
        """
        features = self._features(features, 3)
        counts = self._counts(features, counts)
        encoded = [features.new_zeros(0, features.shape[1], self.network.embed_size, dtype=torch.float32)]
        for first in range(0, len(features), IMAGE_BLOCK):
            part = features[first : first + IMAGE_BLOCK].to(self.device)
            count = counts[first : first + IMAGE_BLOCK]
            _require_finite(part, count, first)
            encoded.append(self.network.encode_images(part, count))
        return torch.cat([part.to(self.device) for part in encoded])

    @torch.no_grad()
    def encode_captions(self, sentences: Sequence[str]) -> Tensor:
        """Embed sentences as (n, t, D) float32 on the model's device, zero past each one's words."""
        return self._captions(sentences)[0]

    @torch.no_grad()
    def similarity(
        self, region_features: Features, sentences: Sequence[str], *, region_counts: Tensor | None = None
    ) -> Tensor:
        """Score every image against every sentence.

        Args:
            region_features: (n, k, F) any float dtype.
            sentences: as a person writes them.
            region_counts: (n,) integers, regions of each image; the rest is padding. None: all k.

        Returns:
            (n, sentences) float32 on the model's device, higher is more alike.

        Raises:
            ValueError: another shape or width, a count outside 1 to k, NaN or infinity in a region that
                counts, or one string instead of a list.
        """
        features = self._features(region_features, 3)
        if len(features) == 0 or len(sentences) == 0:
            return torch.zeros(len(features), len(sentences), device=self.device)
        counts = self._counts(features, region_counts)
        regions = self.encode_images(features, counts)
        scores = []
        for first in range(0, len(sentences), CAPTION_BLOCK):
            words, word_counts = self._captions(sentences[first : first + CAPTION_BLOCK])
            scores.append(
                similarity_matrix(regions, words, self.rule, region_counts=counts, word_counts=word_counts)
            )
        return torch.cat(scores, 1)

    @torch.no_grad()
    def attend(self, region_features: Features, sentence: str) -> Attended:
        """Return what a sentence and an image attend to in each other.

        Args:
            region_features: (k, F) the image's regions, without padding.
            sentence: as a person writes it.

        Raises:
            ValueError: another shape or width, or NaN or infinity in a region.
            ScanError: the similarity has no attention to show.
        """
        features = self._features(region_features, 2)
        (regions,) = self.encode_images(features[None])
        embedded, counts = self._captions([sentence])
        weights, relevance = attend(regions, embedded[0, : int(counts[0])], self.rule)
        return Attended(self.network.text_encoder.words(sentence), weights, relevance)  # type: ignore[operator]

    def _captions(self, sentences: Sequence[str]) -> tuple[Tensor, Tensor]:
        if isinstance(sentences, str):
            raise ValueError(f"sentences is one string; expected a list, such as [{sentences!r}]")
        ids = self.network.text_encoder.tokenize(sentences)  # type: ignore[operator]
        counts = torch.tensor([len(tokens) for tokens in ids], dtype=torch.int64)
        padded = torch.nn.utils.rnn.pad_sequence([torch.tensor(tokens) for tokens in ids], batch_first=True)
        words, word_counts = self.network.encode_captions(padded.to(self.device), counts)
        return words, word_counts.cpu()

    def _counts(self, features: Tensor, counts: Tensor | None) -> Tensor:
        if counts is None:
            return torch.full((len(features),), features.shape[1], device=self.device)
        counts = torch.as_tensor(counts).to(self.device)
        if counts.shape != (len(features),):
            raise ValueError(
                f"region_counts is of shape {tuple(counts.shape)}, expected ({len(features)},), one an image"
            )
        if len(counts) and not 1 <= int(counts.min()) <= int(counts.max()) <= features.shape[1]:
            raise ValueError(f"region_counts must be in 1..{features.shape[1]}, not {counts.tolist()[:5]}")
        return counts

    def _features(self, features: Features, dimensions: int) -> Tensor:
        tensor = torch.as_tensor(features)
        shape = "(images, regions, F)" if dimensions == 3 else "(regions, F)"
        if tensor.ndim != dimensions or not tensor.is_floating_point():
            raise ValueError(
                f"region_features is {tensor.dtype} of shape {tuple(tensor.shape)}, expected floats {shape}"
            )
        if tensor.shape[-1] != self.feature_dim:
            raise ValueError(
                f"region_features is {tensor.shape[-1]} wide, the model takes {self.feature_dim}"
            )
        return tensor


def _require_finite(features: Tensor, counts: Tensor, first: int = 0) -> None:
    """Refuse NaN and infinity, which would make every similarity NaN without a word.

    Args:
        features: (n, k, F).
        counts: (n,) regions of each image; the others may hold anything.
        first: the number of the first image, for the message.
    """
    counted = torch.arange(features.shape[1], device=features.device) < counts[:, None]
    wrong = (counted & ~features.isfinite().all(-1)).nonzero()
    if len(wrong):
        image, region = wrong[0].tolist()
        raise ValueError(
            f"region_features: NaN or infinity in image {first + image}, region {region} (both from 0); "
            "expected finite numbers"
        )
