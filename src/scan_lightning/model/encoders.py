"""The two encoders: region features and caption tokens to vectors of one space (paper, section 3.1).

Shapes: n items of a batch, k regions, t tokens, F feature width, V vocabulary, D embedding width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm as normalise_weight
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from scan_lightning.data.text import Vocabulary
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
    x = at_least_fp32(x)
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x * torch.where(norm > 0, 1 / (norm + EPSILON), 0.0)


class LinearEncoder(nn.Module):
    """One linear layer over each region.

    Initialised as released: Xavier uniform with zero bias, or, weight-normalised, torch's default with one
    norm for the whole matrix (`dim=None`).

    Args:
        feature_dim: F
        embed_size: D
        weight_norm: the weight-normalised variant
    """

    def __init__(self, feature_dim: int, embed_size: int, *, weight_norm: bool = False) -> None:
        super().__init__()
        self.fc = nn.Linear(feature_dim, embed_size)
        if weight_norm:
            # torch takes dim=None and documents it; only its annotation does not.
            self.fc = normalise_weight(self.fc, dim=None)  # type: ignore[arg-type]
        else:
            bound = math.sqrt(6 / (feature_dim + embed_size))
            nn.init.uniform_(self.fc.weight, -bound, bound)
            nn.init.zeros_(self.fc.bias)

    def forward(self, regions: Tensor, counts: Tensor) -> Tensor:
        """Embed regions (n, k, F) of any float dtype as (n, k, D); padding is embedded too.

        The features are converted here, once, on the device: stores hold fp16 to halve the transfer.
        """
        if not torch.is_autocast_enabled(regions.device.type):
            regions = regions.to(self.fc.bias.dtype)
        embedded: Tensor = self.fc(regions)
        return embedded


class GRUEncoder(nn.Module):
    """Word embedding and one GRU layer; two directions are averaged.

    Initialised as released: embeddings uniform in [-0.1, 0.1], the GRU by torch's default.

    Args:
        vocabulary: the words, and the tokeniser that makes them
        word_size: width of a word's embedding
        embed_size: D
        bidirectional: read captions in both directions
    """

    def __init__(
        self, vocabulary: Vocabulary, word_size: int, embed_size: int, *, bidirectional: bool = True
    ) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.embed = nn.Embedding(len(vocabulary), word_size)
        self.rnn = nn.GRU(word_size, embed_size, batch_first=True, bidirectional=bidirectional)
        nn.init.uniform_(self.embed.weight, -0.1, 0.1)

    def tokenize(self, sentences: Sequence[str]) -> list[list[int]]:
        """Token ids of each sentence, `<start>` and `<end>` included."""
        return self.vocabulary.tokenize(sentences)

    def words(self, sentence: str) -> list[str]:
        """The word that each row of a sentence's embedding stands for."""
        return self.vocabulary.words_of(sentence)

    def forward(self, tokens: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Embed captions.

        Args:
            tokens: (n, t) int64 token ids; past a caption's count anything.
            counts: (n,) tokens of each caption, at least 1.

        Returns:
            (n, t, D), zero past a caption's count, and the counts.
        """
        if len(tokens) == 0:  # a rank's share of a last batch smaller than the number of ranks
            return self.embed.weight.new_zeros(0, tokens.shape[1], self.rnn.hidden_size), counts
        # Packed, so that the reverse direction starts at a caption's last word and not in its padding.
        packed = pack_padded_sequence(
            self.embed(tokens), counts.cpu(), batch_first=True, enforce_sorted=False
        )
        hidden, _ = pad_packed_sequence(
            run_gru(self.rnn, packed), batch_first=True, total_length=tokens.shape[1]
        )
        if self.rnn.bidirectional:
            forward, reverse = hidden.chunk(2, dim=-1)
            hidden = (forward + reverse) / 2
        return hidden, counts


def at_least_fp32(x: Tensor) -> Tensor:
    """Return x in fp32, or as it is in fp64."""
    return x if x.dtype == torch.float64 else x.float()
