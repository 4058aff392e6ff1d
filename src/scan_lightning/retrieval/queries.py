"""The rank of every query of a run, kept in its folder as ranks.npz, with the images' ids and the captions.

So two runs can be compared query by query, and the hardest be shown, without the store or the models.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scan_lightning.errors import ScanError
from scan_lightning.retrieval.ranks import Ranks, Top

FILE = "ranks.npz"
VERSION = 1
TOP_K = 10  # items of each query that are kept, at most
QUERIES = ("i2t", "i2t_images", "t2i", "t2i_images", "t2i_captions")
TOP = ("i2t", "i2t_scores", "t2i", "t2i_scores")


@dataclass(frozen=True)
class Queries:
    """A split's queries and how a run ranked them."""

    split: str  # its name
    ranks: Ranks  # rank of each query; images and captions are numbered as below
    image_ids: list[str]  # (N,) the store's ids
    captions: list[str]  # (C,) texts, of captions that are no queries too

    @property
    def query_captions(self) -> list[str]:
        """The texts of the captions that are queries, in the order of `ranks.t2i`."""
        return [self.captions[caption] for caption in self.ranks.t2i_captions]

    @property
    def kept(self) -> Top:
        """The best items of each query; ValueError when they were not kept."""
        if self.ranks.top is None:
            raise ValueError("the best items of each query were not kept: rank with top_k >= 1")
        return self.ranks.top


def pack_queries(queries: Queries) -> bytes:
    """Return the content of ranks.npz: arrays only, nothing that would have to be unpickled."""
    ranks = queries.ranks
    arrays: dict[str, Any] = {
        "version": VERSION,
        "split": _text([queries.split]),
        "image_count": ranks.image_count,
        "folds": ranks.folds,
        "image_ids": _text(queries.image_ids),
        "captions": _text(queries.captions),
        **{name: getattr(ranks, name) for name in QUERIES},
    }
    if ranks.top is not None:
        arrays |= {f"top_{name}": getattr(ranks.top, name)[:, :TOP_K] for name in TOP}
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def read_queries(run: str | Path) -> Queries:
    """Read the ranks of a run.

    Args:
        run: the folder that `evaluate`, `ensemble` or `train` wrote, or a ranks.npz itself.

    Raises:
        ScanError: there is none, or it is damaged.
    """
    path = Path(run)
    expected = f"expected the folder of a `scan-lightning evaluate` or `ensemble`, or the {FILE} in it"
    if not path.exists():
        raise ScanError(f"{path}: there is no such folder or file; {expected}")
    if path.is_dir():
        path = path / FILE
        if not path.exists():
            raise ScanError(f"{path.parent}: there is no {FILE} in it; {expected}")
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
        if int(found["version"]) == VERSION:
            return _queries(found)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise ScanError(f"{path}: is damaged or no {FILE}; evaluate the run again") from error
    raise ScanError(
        f"{path}: version {int(found['version'])}, this scan-lightning reads {VERSION}; "
        "evaluate the run again"
    )


def _queries(found: dict[str, npt.NDArray[Any]]) -> Queries:
    found.setdefault("t2i_captions", np.arange(len(found["t2i"])))  # of an older file
    top = Top(*(found[f"top_{name}"] for name in TOP)) if "top_t2i" in found else None
    arrays: dict[str, Any] = {name: found[name] for name in QUERIES}
    ranks = Ranks(**arrays, image_count=int(found["image_count"]), folds=int(found["folds"]), top=top)
    (split,) = _lines(found["split"])
    queries = Queries(split, ranks, _lines(found["image_ids"]), _lines(found["captions"]))
    if len(queries.image_ids) != ranks.image_count or ranks.t2i_captions.max() >= len(queries.captions):
        raise ValueError("as many ids and captions as ranks expected")
    return queries


def _text(lines: list[str]) -> npt.NDArray[np.uint8]:
    """Lines as UTF-8 bytes: NumPy's own strings would all be as long as the longest."""
    joined = "".join(" ".join(line.splitlines()) + "\n" for line in lines)
    return np.frombuffer(joined.encode(), np.uint8)


def _lines(text: npt.NDArray[Any]) -> list[str]:
    return text.tobytes().decode().split("\n")[:-1]
