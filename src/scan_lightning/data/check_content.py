"""What the small arrays claim about each other: offsets, owners, ids, boxes, lexicon, gold links."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from scan_lightning.data.boxes import box_errors
from scan_lightning.data.format import COUNTED_SPLITS, GOLD_LINKS, SPLIT_CODES

Content = Mapping[str, np.ndarray]
SHOWN = 3  # examples a fault


def check_content(small: Mapping[str, np.ndarray | None]) -> list[str]:
    """Every contradiction among the small arrays.

    Args:
        small: Content by dataset, of the right shapes; None where it could not be read (reported already).

    Returns:
        One line a fault.
    """
    content = {name: rows for name, rows in small.items() if rows is not None}
    faults: list[str] = []
    for needed, check in _CHECKS:
        if all(name in content for name in needed):
            faults += check(content)
    return faults


def _ids(content: Content) -> list[str]:
    ids, counts = np.unique(content["image/id"].astype(bytes), return_counts=True)
    faults = []
    if (counts > 1).any():
        faults.append(f"/image/id: {int((counts > 1).sum()):,} ids come twice: {_names(ids[counts > 1])}")
    if (ids == b"").any():
        faults.append("/image/id: an id is empty")
    return faults


def _splits(content: Content) -> list[str]:
    bad = ~np.isin(content["image/split"], list(SPLIT_CODES.values()))
    if bad.any():
        return [f"/image/split: {int(bad.sum()):,} images have an unknown split, {_rows('image', bad)}"]
    return []


def _sizes(content: Content) -> list[str]:
    bad = np.asarray((content["image/size"] < 0).any(axis=1))
    return [f"/image/size: {int(bad.sum()):,} sizes are negative, {_rows('image', bad)}"] if bad.any() else []


def _offsets(name: str, total: int, offsets: np.ndarray, least: int) -> list[str]:
    faults = []
    if len(offsets) and offsets[0] != 0:
        faults.append(f"/{name}: starts at {offsets[0]}, expected 0")
    if len(offsets) and offsets[-1] != total:
        faults.append(f"/{name}: ends at {offsets[-1]:,}, but there are {total:,} rows")
    bad = np.diff(offsets) < least
    if bad.any():
        what = "without a region" if least else "with less than no token"
        faults.append(f"/{name}: {int(bad.sum()):,} entries {what}, {_rows('entry', bad)}")
    return faults


def _region_offsets(content: Content) -> list[str]:
    return _offsets("region/offsets", len(content["region/boxes"]), content["region/offsets"], least=1)


def _caption_offsets(content: Content) -> list[str]:
    return _offsets("caption/offsets", len(content["caption/tokens"]), content["caption/offsets"], least=0)


def _owners(content: Content) -> list[str]:
    owners, images = content["caption/image"], len(content["image/split"])
    lost = (owners < 0) | (owners >= images)
    faults = []
    if lost.any():
        faults.append(
            f"/caption/image: {int(lost.sum()):,} captions without an image (there are {images:,}), "
            f"{_rows('caption', lost)}"
        )
    return faults


def _tokens(content: Content) -> list[str]:
    tokens, words = content["caption/tokens"], len(content["lexicon/word"])
    bad = (tokens < 0) | (tokens >= words)
    if bad.any():
        return [f"/caption/tokens: {int(bad.sum()):,} tokens outside the lexicon of {words:,} words"]
    return []


def _lexicon(content: Content) -> list[str]:
    words, counts = np.unique(content["lexicon/word"].astype(bytes), return_counts=True)
    if (counts > 1).any():
        return [f"/lexicon/word: {int((counts > 1).sum()):,} words come twice: {_names(words[counts > 1])}"]
    return []


def _counts(content: Content) -> list[str]:
    """The lexicon's counts are those of train and val, which keeps test captions out of any vocabulary."""
    if _tokens(content) or _caption_offsets(content) or _owners(content):
        return []  # reported; the counts cannot be redone
    counted_codes = [SPLIT_CODES[name] for name in COUNTED_SPLITS]
    counted = np.isin(content["image/split"][content["caption/image"]], counted_codes)
    tokens = content["caption/tokens"][np.repeat(counted, np.diff(content["caption/offsets"]))]
    expected = np.bincount(tokens, minlength=len(content["lexicon/count"]))
    bad = expected != content["lexicon/count"]
    if not bad.any():
        return []
    row = int(bad.argmax())
    word = content["lexicon/word"][row].decode("utf-8", "replace")
    return [
        f"/lexicon/count: {int(bad.sum()):,} counts differ from the train and val captions, the first of "
        f"{word!r}: {content['lexicon/count'][row]:,}, counted {expected[row]:,}"
    ]


def _boxes(content: Content) -> list[str]:
    if _region_offsets(content):
        return []  # reported; nobody knows whose boxes these are
    offsets, ids = content["region/offsets"], content["image/id"]
    counts = np.diff(offsets)
    found = box_errors(content["region/boxes"], np.repeat(content["image/size"], counts, axis=0))
    shown = []
    for row, fault in found[:SHOWN]:
        image = int(np.searchsorted(offsets, row, side="right")) - 1
        name = ids[image].decode("utf-8", "replace")
        shown.append(f"image {name!r} box {row - offsets[image]} {fault}")
    return [f"/region/boxes: {len(found):,} wrong boxes: {'; '.join(shown)}"] if found else []


def _links(content: Content) -> list[str]:
    links = content[GOLD_LINKS]
    caption, position, region = links.T
    known = (caption >= 0) & (caption < len(content["caption/image"]))
    known &= (region >= 0) & (region < len(content["region/boxes"])) & (position >= 0)
    if known.all() and not (_caption_offsets(content) or _region_offsets(content) or _owners(content)):
        image = content["caption/image"][caption]
        offsets = content["region/offsets"]
        known &= (offsets[image] <= region) & (region < offsets[image + 1])
        known &= position < np.diff(content["caption/offsets"])[caption]
    if known.all():
        return []
    return [f"/{GOLD_LINKS}: {int((~known).sum()):,} links lead nowhere, {_rows('link', ~known)}"]


def _names(names: np.ndarray) -> str:
    shown = ", ".join(repr(name.decode("utf-8", "replace")) for name in names[:SHOWN].tolist())
    return shown + (", ..." if len(names) > SHOWN else "")


def _rows(what: str, bad: np.ndarray) -> str:
    rows = np.flatnonzero(bad)
    return f"{what} {', '.join(map(str, rows[:SHOWN].tolist()))}" + (", ..." if len(rows) > SHOWN else "")


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
