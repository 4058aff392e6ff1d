"""The two encoders: region features and caption tokens to vectors of one space (paper, section 3.1).

Shapes: n items of a batch, k regions, t tokens, F feature width, V vocabulary, D embedding width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from scan_lightning.model.gru import run_gru

EPSILON = 1e-8


def l2_normalise(x: Tensor) -> Tensor:
    """Divide the last axis by its L2 norm + 1e-8, in fp32 at least; an all-zero row stays zero.

    A zero row has no direction, so its gradient is defined as zero: the plain formula gives NaN there, and
    with it one empty region would undo the whole step.

    Args:
        x: (..., D), any float dtype.

    Returns:
        (..., D), fp32, or fp64 when x is.

    >>> l2_normalise(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    x = x if x.dtype == torch.float64 else x.float()
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x * torch.where(norm > 0, 1 / (norm + EPSILON), 0.0)


class ImageEncoder(nn.Module):
    """One linear layer over each region.

    Initialised as released: Xavier uniform with zero bias, or, weight-normalised, torch's default with one
    norm for the whole matrix (`dim=None`).

    Args:
        feature_dim: F.
        embed_size: D.
        normalize: L2-normalise each region's embedding.
        weight_norm: the weight-normalised variant.
    """

    def __init__(
        self, feature_dim: int, embed_size: int, *, normalize: bool = True, weight_norm: bool = False
    ) -> None:
        super().__init__()
        self.normalize = normalize
        self.fc = nn.Linear(feature_dim, embed_size)
        if weight_norm:
            self.fc = _weight_normalised(self.fc)
        else:
            bound = math.sqrt(6 / (feature_dim + embed_size))
            nn.init.uniform_(self.fc.weight, -bound, bound)
            nn.init.zeros_(self.fc.bias)

    def forward(self, regions: Tensor) -> Tensor:
        """Embed regions (n, k, F) of any float dtype as (n, k, D), fp32 (fp64 in an fp64 model).

        The features are converted here, once, on the device: stores hold fp16 to halve what is moved.
        """
        if not torch.is_autocast_enabled(regions.device.type):
            regions = regions.to(self.fc.bias.dtype)
        embedded: Tensor = self.fc(regions)
        return l2_normalise(embedded) if self.normalize else _at_least_fp32(embedded)


class TextEncoder(nn.Module):
    """Word embedding and one GRU layer; two directions are averaged.

    Initialised as released: embeddings uniform in [-0.1, 0.1], the GRU by torch's default.

    Args:
        vocabulary_size: V.
        word_size: width of a word's embedding.
        embed_size: D.
        bidirectional: read captions in both directions.
        normalize: L2-normalise each word's vector.
    """

    def __init__(
        self,
        vocabulary_size: int,
        word_size: int,
        embed_size: int,
        *,
        bidirectional: bool = True,
        normalize: bool = True,
    ) -> None:
        super().__init__()
        self.normalize = normalize
        self.embed = nn.Embedding(vocabulary_size, word_size)
        self.rnn = nn.GRU(word_size, embed_size, batch_first=True, bidirectional=bidirectional)
        nn.init.uniform_(self.embed.weight, -0.1, 0.1)

    def forward(self, tokens: Tensor, counts: Tensor) -> Tensor:
        """Embed captions.

        Args:
            tokens: (n, t) int64 token ids; past a caption's count anything.
            counts: (n,) tokens of each caption, at least 1.

        Returns:
            (n, t, D), fp32 (fp64 in an fp64 model); zero past a caption's count.
        """
        if len(tokens) == 0:  # a rank's share of a last batch smaller than the number of ranks
            return self.embed.weight.new_zeros(0, tokens.shape[1], self.rnn.hidden_size)
        # Packed, so that the backward direction starts at a caption's last word and not in its padding.
        packed = pack_padded_sequence(
            self.embed(tokens), counts.cpu(), batch_first=True, enforce_sorted=False
        )
        hidden, _ = pad_packed_sequence(
            run_gru(self.rnn, packed), batch_first=True, total_length=tokens.shape[1]
        )
        if self.rnn.bidirectional:
            forward, backward = hidden.chunk(2, dim=-1)
            hidden = (forward + backward) / 2
        return l2_normalise(hidden) if self.normalize else _at_least_fp32(hidden)


def _weight_normalised(layer: nn.Linear) -> nn.Linear:
    # torch takes dim=None at run time and says so in its documentation; only its annotation forgets it.
    return weight_norm(layer, dim=None)  # type: ignore[arg-type, no-any-return]


def _at_least_fp32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
