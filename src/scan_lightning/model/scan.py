"""The model as a plain module: two encoders, built from the configuration."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from scan_lightning.choices import Rule
from scan_lightning.model.encoders import ImageEncoder, TextEncoder
from scan_lightning.settings import AttentionConfig, ModelConfig
from scan_lightning.similarity import Attention, SumMax


class ScanModel(nn.Module):
    """What has weights in stacked cross attention; the similarity between its outputs has none.

    Args:
        feature_dim: F, width of the region features.
        vocabulary_size: V, number of token ids, specials included.
        config: the two encoders' settings.
    """

    def __init__(self, feature_dim: int, vocabulary_size: int, config: ModelConfig) -> None:
        super().__init__()
        self.feature_dim, self.embed_size = feature_dim, config.embed_size
        self.image_encoder = ImageEncoder(
            feature_dim,
            config.embed_size,
            normalize=config.normalize_regions,
            weight_norm=config.weight_norm,
        )
        self.text_encoder = TextEncoder(
            vocabulary_size,
            config.word_size,
            config.embed_size,
            bidirectional=config.bidirectional,
            normalize=config.normalize_words,
        )

    def encode_images(self, regions: Tensor, counts: Tensor) -> Tensor:
        """Embed region features (n, k, F), any float dtype, as (n, k, D) fp32, zero past a count of (n,)."""
        embedded: Tensor = self.image_encoder(regions)
        padding = torch.arange(regions.shape[1], device=counts.device) >= counts[:, None]
        return embedded.masked_fill(padding[..., None], 0.0)

    def encode_captions(self, tokens: Tensor, counts: Tensor) -> Tensor:
        """Embed token ids (n, t) with counts (n,) as (n, t, D) fp32, zero past a count."""
        embedded: Tensor = self.text_encoder(tokens, counts)
        return embedded


def build_rule(config: AttentionConfig) -> Attention | SumMax:
    """Return the similarity rule a configuration describes."""
    words: dict[str, Any] = {
        name: str(getattr(config, name)) for name in ("direction", "raw_norm", "aggregation")
    }
    if config.rule == Rule.summax:
        return SumMax(words["direction"])
    return Attention(**words, smoothing=config.smoothing, lse_scale=config.lse_scale)
