"""A store in words: what `scan-lightning data show` prints."""

from __future__ import annotations

import numpy as np
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from scan_lightning.data.store import Store
from scan_lightning.data.text import Vocabulary
from scan_lightning.units import size_text

WORD_THRESHOLD = 4  # of the released vocabularies


def summary(store: Store, samples: int = 3) -> RenderableType:
    """Facts, splits and the captions of some sample images of each split; features are not read."""
    return Group(_facts(store), "", _splits(store), "", *_samples(store, samples))


def _facts(store: Store) -> Table:
    words, counts = store.lexicon
    lengths = np.diff(store.caption_offsets)
    regions = np.diff(store.region_offsets)
    size = store.path.stat().st_size
    table = Table.grid(padding=(0, 2))
    rows = {
        "store": f"{store.path} ({size_text(size)})",
        "source": store.source,
        "created": store.created,
        "features": f"{store.region_count:,} regions of {store.feature_dim} {store.feature_dtype}, "
        f"{_span(regions)} an image",
        "boxes": _box_fact(store),
        "ids": f"{store.image_id(0)} ... {store.image_id(store.image_count - 1)}",
        "captions": _caption_fact(store, lengths),
        "empty captions": f"{int((lengths == 0).sum()):,}",
        "tokenizer": store.tokenizer,
        "words": f"{len(words):,}, of them {int((counts == 0).sum()):,} in test captions only",
        "vocabulary": f"{len(Vocabulary.from_counts(words, counts, WORD_THRESHOLD)):,} (the specials, and "
        f"words counted {WORD_THRESHOLD} times or more in train and val)",
    }
    if len(store.gold_links):
        rows["gold links"] = f"{len(store.gold_links):,} word-to-region links"
    for name, text in rows.items():
        table.add_row(f"[bold]{name}[/bold]", escape(_line(text)))
    return table


def _splits(store: Store) -> Table:
    table = Table("split", title="splits", title_justify="left")
    for name in ("images", "captions", "regions"):
        table.add_column(name, justify="right")
    regions = np.diff(store.region_offsets)
    for split, images in store.splits.items():
        counts = images, len(store.caption_rows(split)), int(regions[store.image_rows(split)].sum())
        table.add_row(split, *(f"{count:,}" for count in counts))
    return table


def _samples(store: Store, samples: int) -> list[str]:
    lines = []
    for split, images in store.splits.items():
        rows = store.image_rows(split)[:: max(1, images // max(samples, 1))][:samples]
        for row in rows.tolist():
            captions = store.caption_text(np.flatnonzero(store.caption_image == row))
            lines.append(f"[bold]{split}[/bold] {escape(_line(store.image_id(row)))}")
            lines += [f"  {escape(_line(caption)) or '[dim](empty)[/dim]'}" for caption in captions]
    return lines


def _line(text: str) -> str:
    """A text with line breaks and control characters escaped, so that it stays on its line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _caption_fact(store: Store, lengths: np.ndarray) -> str:
    if not len(lengths):
        return "none"
    each = np.bincount(store.caption_image, minlength=store.image_count)
    words = f"{_span(lengths)} words each (mean {lengths.mean():.1f})"
    return f"{store.caption_count:,}, {_span(each)} an image, {words}"


def _box_fact(store: Store) -> str:
    known = np.isfinite(store.all_boxes()).all(axis=1)
    if known.all():
        return "x1 y1 x2 y2 in pixels for every region"
    return f"known for {int(known.sum()):,} of {len(known):,} regions" if known.any() else "unknown"


def _span(counts: np.ndarray) -> str:
    low, high = int(counts.min()), int(counts.max())
    return f"{low}" if low == high else f"{low} to {high}"
