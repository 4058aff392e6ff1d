"""What a layout gives: totals first, then the records one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from scan_lightning.data.writer import ImageRecord


@dataclass(frozen=True)
class Source:
    """A data set found on disk, counted and checked as far as that goes without reading features.

    Args:
        name: What the store's attribute `source` will say.
        images: Number of records.
        regions: Regions of all records.
        feature_dim: Width of every feature.
        records: Starts reading; each image is in memory only while it is used.
        notes: What the user should know about the data, one line each.
    """

    name: str
    images: int
    regions: int
    feature_dim: int
    records: Callable[[], Iterator[ImageRecord]]
    notes: tuple[str, ...] = ()
