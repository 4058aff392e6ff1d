"""Stacked cross attention for image-text matching.

The names below are the whole public interface; they load on first use, so that importing the package
(and `scan-lightning --help`) stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scan_lightning.model.checkpoint import load
    from scan_lightning.retrieval import recall
    from scan_lightning.similarity import (
        Attention,
        Similarity,
        SumMax,
        attend,
        similarity_matrix,
        similarity_pairs,
        triplet_loss,
    )

__all__ = [
    "Attention",
    "Similarity",
    "SumMax",
    "attend",
    "load",
    "recall",
    "similarity_matrix",
    "similarity_pairs",
    "triplet_loss",
]

_HOMES = {"load": "scan_lightning.model.checkpoint", "recall": "scan_lightning.retrieval"}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'scan_lightning' has no attribute '{name}'")
    return getattr(import_module(_HOMES.get(name, "scan_lightning.similarity")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
