"""Peak memory of whole steps of the released recipe: both encoders, loss, gradient, clipping, Adam."""

from collections.abc import Callable

import torch

from measuring import peak_memory
from scan_lightning.data.text import SPECIALS, Vocabulary
from scan_lightning.model.scan import ScanModel
from scan_lightning.similarity import Attention, triplet_loss

FEATURE_DIM, VOCABULARY, REGIONS, WORDS = 2048, 8500, 36, (8, 20)


def training_step_bytes(batch: int, embed_size: int, rule: Attention, device: torch.device) -> int | None:
    """Bytes that a step needs beyond the weights and Adam's state; None where that cannot be read."""
    step = training_step(batch, embed_size, rule, device)
    step()  # Adam's state
    return peak_memory(step, device)


def training_step(
    batch: int, embed_size: int, rule: Attention, device: torch.device
) -> Callable[[], torch.Tensor]:
    """One step on `batch` pairs of float16 features, 36 x 2048, and captions of 8 to 20 words."""
    generator = torch.Generator().manual_seed(0)
    vocabulary = Vocabulary([*SPECIALS, *map(str, range(len(SPECIALS), VOCABULARY))])
    model = ScanModel(FEATURE_DIM, vocabulary, embed_size=embed_size).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-4)
    features = torch.rand(batch, REGIONS, FEATURE_DIM, generator=generator).half().to(device)
    tokens = torch.randint(4, VOCABULARY, (batch, WORDS[1]), generator=generator).to(device)
    region_counts = torch.full((batch,), REGIONS)
    word_counts = torch.randint(WORDS[0], WORDS[1] + 1, (batch,), generator=generator)

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        words, _ = model.encode_captions(tokens, word_counts)
        loss = triplet_loss(
            model.encode_images(features, region_counts.to(device)),
            words,
            rule,
            region_counts=region_counts,
            word_counts=word_counts,
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        return loss

    return step
