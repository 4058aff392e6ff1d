"""The store's names and numbers: one HDF5 file per data set, format "scan-lightning", version 1.

| path                     | shape, type                           | meaning                                |
|--------------------------|---------------------------------------|----------------------------------------|
| attributes               |                                       | ATTRIBUTES; `complete` is written last |
| /image/id, split, size   | (N,) str; (N,) enum; (N, 2) int32     | width, height; 0 when unknown          |
| /region/features         | (R, D) float16 or float32, contiguous | image i: rows offsets[i]:offsets[i+1]  |
| /region/offsets, boxes   | (N+1,) int64; (R, 4) float32          | x1 y1 x2 y2 in pixels, NaN: unknown    |
| /caption/text, image     | (C,) str; (C,) int64                  | any number of captions an image        |
| /caption/tokens, offsets | (T,) int32; (C+1,) int64              | rows of the lexicon, ragged            |
| /lexicon/word, count     | (V,) str; (V,) int64                  | counted on train and val only          |
| /gold/links              | (L, 3) int64                          | caption row, token position, region row |
| /checksum/PATH           | (blocks, 32) uint8                    | SHA-256 of each block's content        |

Before the HDF5 content stands a user block with the seal (see seal.py).
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

FORMAT = "scan-lightning"
VERSION = 1
SPLITS = ("train", "val", "test")
COUNTED_SPLITS = ("train", "val")  # the lexicon counts these only, so test captions never leak in
SPLIT_CODES = {name: code for code, name in enumerate(SPLITS)}
ATTRIBUTES: dict[str, type] = {
    "format": str,
    "version": int,
    "source": str,
    "feature_dim": int,
    "tokenizer": str,
    "created": str,
    "complete": bool,
}
FEATURE_DTYPES = ("float16", "float32")

# What every store holds. Shapes use the letters of the table above.
DATASETS: dict[str, tuple[tuple[str | int, ...], str]] = {
    "image/id": (("N",), "str"),
    "image/split": (("N",), "int8"),
    "image/size": (("N", 2), "int32"),
    "region/features": (("R", "D"), "float"),
    "region/offsets": (("N+1",), "int64"),
    "region/boxes": (("R", 4), "float32"),
    "caption/text": (("C",), "str"),
    "caption/image": (("C",), "int64"),
    "caption/tokens": (("T",), "int32"),
    "caption/offsets": (("C+1",), "int64"),
    "lexicon/word": (("V",), "str"),
    "lexicon/count": (("V",), "int64"),
    "gold/links": (("L", 3), "int64"),  # may be missing
}
GOLD_LINKS = "gold/links"
TEXT_BYTES = 1 << 16  # of a caption, an id, a word or an attribute, at most

BOX_SLACK = 1.0  # pixels: detectors clip at the border before they scale back to the picture


def split_dtype() -> np.dtype[Any]:
    """The HDF5 enum of /image/split."""
    dtype: np.dtype[Any] = h5py.enum_dtype(SPLIT_CODES, basetype="i1")
    return dtype


def text_dtype() -> np.dtype[Any]:
    """Variable-length UTF-8."""
    dtype: np.dtype[Any] = h5py.string_dtype("utf-8")
    return dtype
