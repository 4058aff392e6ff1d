"""What the engine is measured against, and the embeddings they all get.

- *loop*: `loop_reference.py`, a Python loop over captions as every public implementation has it.
- *batched*: no loop; the attended vectors of all images and captions at once, padded.
- *product*: the matrix product of all real words and regions, nothing else, by the fastest library that torch
  has: the floor for any exact method.
- *matmul*: the same product by torch's `@`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from scan_lightning.similarity import Attention

SHARD = 128  # images a loop takes at once in an evaluation, as the released code does


@dataclass(frozen=True)
class Embeddings:
    """Unit vectors: 36 regions an image, 8 to 20 words a caption."""

    regions: Tensor
    words: Tensor
    word_counts: Tensor

    def packed_words(self) -> Tensor:
        """All real words (N, D)."""
        real = torch.arange(self.words.shape[1]) < self.word_counts[:, None]
        return self.words[real.to(self.words.device)]

    def leaves(self) -> tuple[Tensor, Tensor]:
        """Both sides, asking for a gradient."""
        return self.regions.detach().requires_grad_(), self.words.detach().requires_grad_()


def embeddings(
    images: int,
    captions: int,
    dim: int,
    device: torch.device,
    regions: int = 36,
    words: tuple[int, int] = (8, 20),
) -> Embeddings:
    """Random embeddings, the same for the same arguments."""
    generator = torch.Generator().manual_seed(0)

    def unit(items: int, length: int) -> Tensor:
        drawn = torch.randn(items, length, dim, generator=generator)
        return drawn.div_(drawn.norm(dim=2, keepdim=True)).to(device)

    return Embeddings(
        unit(images, regions),
        unit(captions, words[1]),
        torch.randint(words[0], words[1] + 1, (captions,), generator=generator),
    )


def batched(data: Embeddings, regions: Tensor, words: Tensor, rule: Attention) -> Tensor:
    """Clipped L2 attention with LSE pooling, every attended vector formed at once: (images, captions)."""
    real_CW = (torch.arange(words.shape[1]) < data.word_counts[:, None]).to(words.device)
    words = words * real_CW[:, :, None]
    scores_ICRW = torch.einsum("ird,cwd->icrw", regions, words)
    clipped_ICRW = torch.nn.functional.leaky_relu(scores_ICRW, 0.1)
    if rule.direction == "t2i":
        normal_ICRW = clipped_ICRW / (clipped_ICRW.norm(dim=3, keepdim=True) + 1e-8)
        weights_ICRW = torch.softmax(rule.smoothing * normal_ICRW, dim=2)
        attended_ICQD = torch.einsum("icrw,ird->icwd", weights_ICRW, regions)
        relevance_ICQ = torch.cosine_similarity(attended_ICQD, words[None], dim=3)
        relevance_ICQ = relevance_ICQ.masked_fill(~real_CW[None], -torch.inf)
    else:
        normal_ICRW = clipped_ICRW / (clipped_ICRW.norm(dim=2, keepdim=True) + 1e-8)
        logits_ICRW = (rule.smoothing * normal_ICRW).masked_fill(~real_CW[None, :, None, :], -torch.inf)
        attended_ICQD = torch.einsum("icrw,cwd->icrd", torch.softmax(logits_ICRW, dim=3), words)
        relevance_ICQ = torch.cosine_similarity(attended_ICQD, regions[:, None], dim=3)
    return torch.logsumexp(rule.lse_scale * relevance_ICQ, dim=2) / rule.lse_scale


def batched_bytes(data: Embeddings, rule: Attention, training: bool) -> int:
    """About what `batched` needs: the attended vectors, and for training also their product and gradients."""
    queries = data.words.shape[1] if rule.direction == "t2i" else data.regions.shape[1]
    attended = len(data.regions) * len(data.words) * queries * data.regions.shape[2] * data.regions.itemsize
    return attended * (4 if training else 2)
