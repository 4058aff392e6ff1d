"""The similarity of an image and a caption: contract, fast exact engine, attention weights, triplet loss."""

from scan_lightning.similarity.attention import Attention, attend
from scan_lightning.similarity.base import Similarity
from scan_lightning.similarity.engine import similarity_matrix
from scan_lightning.similarity.pairs import similarity_pairs
from scan_lightning.similarity.summax import SumMax
from scan_lightning.similarity.triplet import triplet_loss

__all__ = [
    "Attention",
    "Similarity",
    "SumMax",
    "attend",
    "similarity_matrix",
    "similarity_pairs",
    "triplet_loss",
]
