"""Score a whole split, rank it, sum it up: recall, folds, ensembles, statistics."""

from scan_lightning.retrieval.recall import recall

__all__ = ["recall"]
