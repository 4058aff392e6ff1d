"""The similarity of stacked cross attention: rule, fast exact engine, weights and triplet loss."""

from scan_lightning.similarity.attend import attend
from scan_lightning.similarity.engine import similarity_matrix
from scan_lightning.similarity.pairs import similarity_pairs
from scan_lightning.similarity.rule import Attention, Rule, SumMax
from scan_lightning.similarity.triplet import triplet_loss

__all__ = [
    "Attention",
    "Rule",
    "SumMax",
    "attend",
    "similarity_matrix",
    "similarity_pairs",
    "triplet_loss",
]
