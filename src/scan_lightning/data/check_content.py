"""What the small arrays of a store claim about each other: offsets, owners, ids, boxes, words, links."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from scan_lightning.data.boxes import box_errors
from scan_lightning.data.format import COUNTED_SPLITS, GOLD_LINKS, SPLIT_CODES

Content = Mapping[str, np.ndarray]
SHOWN = 3  # examples a problem


def check_content(arrays: Mapping[str, np.ndarray | None]) -> list[str]:
    """Every contradiction among the small arrays, one line each.

    Args:
        arrays: by dataset, of the right shapes; None where one could not be read (reported already).
    """
    content = {name: rows for name, rows in arrays.items() if rows is not None}
    problems: list[str] = []
    for needed, check in _CHECKS:
        if all(name in content for name in needed):
            problems += check(content)
    return problems


def _ids(content: Content) -> list[str]:
    ids, counts = np.unique(content["image/id"].astype(bytes), return_counts=True)
    twice, problems = ids[counts > 1], []
    if len(twice):
        problems.append(f"/image/id: {len(twice):,} ids come twice: {_names(twice)}")
    if (ids == b"").any():
        problems.append("/image/id: an id is empty")
    return problems


def _splits(content: Content) -> list[str]:
    bad = ~np.isin(content["image/split"], list(SPLIT_CODES.values()))
    return _problem("image/split", bad, "images have an unknown split", "image")


def _sizes(content: Content) -> list[str]:
    return _problem(
        "image/size", content["image/size"].min(axis=1, initial=0) < 0, "sizes are negative", "image"
    )


def _offsets(name: str, total: int, offsets: np.ndarray, least: int) -> list[str]:
    problems = []
    if len(offsets) and offsets[0] != 0:
        problems.append(f"/{name}: starts at {offsets[0]}, expected 0")
    if len(offsets) and offsets[-1] != total:
        problems.append(f"/{name}: ends at {offsets[-1]:,}, but there are {total:,} rows")
    what = "entries without a region" if least else "entries with less than no token"
    return problems + _problem(name, np.diff(offsets) < least, what, "entry")


def _region_offsets(content: Content) -> list[str]:
    return _offsets("region/offsets", len(content["region/boxes"]), content["region/offsets"], least=1)


def _caption_offsets(content: Content) -> list[str]:
    return _offsets("caption/offsets", len(content["caption/tokens"]), content["caption/offsets"], least=0)


def _owners(content: Content) -> list[str]:
    owners, images = content["caption/image"], len(content["image/split"])
    what = f"captions without an image (there are {images:,})"
    return _problem("caption/image", (owners < 0) | (owners >= images), what, "caption")


def _tokens(content: Content) -> list[str]:
    tokens, words = content["caption/tokens"], len(content["lexicon/word"])
    bad = int(((tokens < 0) | (tokens >= words)).sum())
    return [f"/caption/tokens: {bad:,} tokens outside the lexicon of {words:,} words"] if bad else []


def _lexicon(content: Content) -> list[str]:
    words, counts = np.unique(content["lexicon/word"].astype(bytes), return_counts=True)
    twice = words[counts > 1]
    return [f"/lexicon/word: {len(twice):,} words come twice: {_names(twice)}"] if len(twice) else []


def _counts(content: Content) -> list[str]:
    """The lexicon's counts are those of train and val, which keeps test captions out of any vocabulary."""
    if _tokens(content) or _caption_offsets(content) or _owners(content):
        return []  # reported; the counts cannot be redone
    counted_codes = [SPLIT_CODES[name] for name in COUNTED_SPLITS]
    counted = np.isin(content["image/split"][content["caption/image"]], counted_codes)
    tokens = content["caption/tokens"][np.repeat(counted, np.diff(content["caption/offsets"]))]
    found, expected = content["lexicon/count"], np.bincount(tokens, minlength=len(content["lexicon/count"]))
    bad = expected != found
    if not bad.any():
        return []
    row = int(bad.argmax())
    word = content["lexicon/word"][row].decode("utf-8", "replace")
    return [
        f"/lexicon/count: {int(bad.sum()):,} counts differ from the train and val captions, the first of "
        f"{word!r}: {found[row]:,}, counted {expected[row]:,}"
    ]


def _boxes(content: Content) -> list[str]:
    if _region_offsets(content):
        return []  # reported; the owners of the boxes are unknown
    offsets, ids = content["region/offsets"], content["image/id"]
    found = box_errors(content["region/boxes"], np.repeat(content["image/size"], np.diff(offsets), axis=0))
    shown = []
    for row, error in found[:SHOWN]:
        image = int(np.searchsorted(offsets, row, side="right")) - 1
        name = ids[image].decode("utf-8", "replace")
        shown.append(f"image {name!r} box {row - offsets[image]} {error}")
    return [f"/region/boxes: {len(found):,} wrong boxes: {'; '.join(shown)}"] if found else []


def _links(content: Content) -> list[str]:
    caption, position, region = content[GOLD_LINKS].T
    known = (caption >= 0) & (caption < len(content["caption/image"]))
    known &= (region >= 0) & (region < len(content["region/boxes"])) & (position >= 0)
    if known.all() and not (_caption_offsets(content) or _region_offsets(content) or _owners(content)):
        image, offsets = content["caption/image"][caption], content["region/offsets"]
        known &= (offsets[image] <= region) & (region < offsets[image + 1])
        known &= position < np.diff(content["caption/offsets"])[caption]
    return _problem(GOLD_LINKS, ~known, "links lead nowhere", "link")


def _problem(name: str, bad: np.ndarray, what: str, item: str) -> list[str]:
    """A line about the rows that are bad, if there are any: `/NAME: 2 WHAT, ITEM 3, 8`."""
    rows = np.flatnonzero(bad)
    shown = ", ".join(map(str, rows[:SHOWN].tolist())) + (", ..." if len(rows) > SHOWN else "")
    return [f"/{name}: {len(rows):,} {what}, {item} {shown}"] if len(rows) else []


def _names(names: np.ndarray) -> str:
    shown = ", ".join(repr(name.decode("utf-8", "replace")) for name in names[:SHOWN].tolist())
    return shown + (", ..." if len(names) > SHOWN else "")


_CAPTIONS = ("caption/tokens", "caption/offsets", "caption/image")
_REGIONS = ("region/offsets", "region/boxes")
_CHECKS: tuple[tuple[tuple[str, ...], Callable[[Content], list[str]]], ...] = (
    (("image/id",), _ids),
    (("image/split",), _splits),
    (("image/size",), _sizes),
    (_REGIONS, _region_offsets),
    (("caption/offsets", "caption/tokens"), _caption_offsets),
    (("caption/image", "image/split"), _owners),
    (("caption/tokens", "lexicon/word"), _tokens),
    (("lexicon/word",), _lexicon),
    ((*_CAPTIONS, "image/split", "lexicon/word", "lexicon/count"), _counts),
    ((*_REGIONS, "image/id", "image/size"), _boxes),
    ((GOLD_LINKS, *_CAPTIONS, *_REGIONS, "image/split"), _links),
)
