"""The first-generation source of region features: bottom-up-attention's TSV, one image a line.

Columns: image_id, image_w, image_h, num_boxes, boxes, features, or what a first line with names says, such as
LXMERT's; boxes and features are base64 of float32, (k, 4) and (k, D), plain or in the b'...' of Python 3. Any
number of regions a line, any number of files (`*.tsv`, `*.tsv.0`, ...).
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from scan_lightning.data.layouts.arrays import unread_note
from scan_lightning.data.layouts.caption_index import CaptionIndex
from scan_lightning.data.layouts.source_files import find_files
from scan_lightning.data.layouts.sources import Features, Found, Source, join
from scan_lightning.errors import ScanError
from scan_lightning.progress import progress

_HEAD = 8192  # bytes that hold the short columns
FILES = ("*.tsv", "*.tsv.[0-9]*")
COLUMNS = ("image_id", "image_w", "image_h", "num_boxes", "boxes", "features")
_SAME = {
    "img_id": "image_id",
    "img_w": "image_w",
    "img_h": "image_h",
    "num_bbox": "num_boxes",
    "bbox": "boxes",
}


@dataclass(frozen=True)
class _Line:
    """A line's short columns and where it lies."""

    path: Path
    number: int
    start: int
    columns: tuple[str, ...]
    image_id: str
    width: int
    height: int
    boxes: int

    @property
    def where(self) -> str:
        return f"{self.path}: line {self.number}"


def open_source(root: Path, index: CaptionIndex) -> Source:
    """Find the lines of all TSV files of a folder, or of one file, and join them with captions."""
    files = find_files(root, FILES)
    width = next((width for file in files if (width := _feature_width(file))), 0)
    found: list[Found] = []
    names: set[str] = set()
    with progress("finding images", sum(file.stat().st_size for file in files), "bytes") as advance:
        for file in files:
            done = 0
            for line, end, suspect in _lines(file, width):
                names |= set(line.columns)
                found.append(
                    Found(line.image_id, line.where, line.boxes, partial(_read, line, width), suspect)
                )
                advance(end - done)
                done = end
    if not found:
        raise ScanError(f"{files[0]}: holds no image.")
    return join("bottom-up-tsv", root, found, width, index, unread_note(names, COLUMNS))


def _lines(path: Path, width: int) -> Iterator[tuple[_Line, int, bool]]:
    """The lines of a file, the byte after each, whether it may be damaged. Long columns are stepped over."""
    size = path.stat().st_size
    with path.open("rb") as file:
        columns = _columns(file)
        number = int(file.tell() > 0)
        while file.tell() < size:
            number += 1
            start = file.tell()
            head = file.read(_HEAD)
            if not head.split(b"\n", 1)[0].strip():
                file.seek(start)
                file.readline()
                continue
            line, prefix = _parse_head(path, number, start, head, columns)
            python3 = 6 if head[prefix : prefix + 2] == b"b'" else 0
            stop = start + prefix + _base64(line.boxes * 16) + 1 + _base64(line.boxes * width * 4) + python3
            file.seek(stop)
            ending = file.read(2)
            ends_well = stop <= size and (ending[:1] in (b"", b"\n") or ending == b"\r\n")
            file.seek(stop if ends_well else start)  # a line of another length: _read will say why
            file.readline()
            yield line, file.tell(), not ends_well and columns[-2:] == COLUMNS[-2:]


def _columns(file: BinaryIO) -> tuple[str, ...]:
    """The names in the first line, as COLUMNS has them; else COLUMNS, and nothing is read."""
    names = file.readline(_HEAD).decode("utf-8-sig", "replace").rstrip("\r\n").split("\t")
    columns = tuple(_SAME.get(name.strip(), name.strip()) for name in names)
    if "features" in columns and set(COLUMNS) <= set(columns):
        return columns
    file.seek(0)
    return COLUMNS


def _parse_head(
    path: Path, number: int, start: int, head: bytes, columns: tuple[str, ...]
) -> tuple[_Line, int]:
    """The short columns of a line, and how many bytes stand before its boxes."""
    before = min(columns.index("boxes"), columns.index("features"))
    parts = head.split(b"\t", before)
    try:
        cells = dict(zip(columns[:before], parts[:-1], strict=True))
        image_id = cells["image_id"].decode("utf-8").strip()
        width, height, boxes = (int(float(cells[name])) for name in COLUMNS[1:4])
        if boxes < 1 or width < 0 or height < 0 or not image_id:
            raise ValueError
    except (ValueError, OverflowError, KeyError) as error:
        shown = head[:40].decode("utf-8", "replace").replace("\n", " ").replace("\r", " ")
        raise ScanError(
            f"{path}: line {number} starts with {shown!r}; expected the columns {', '.join(columns)}, "
            "separated by tabs."
        ) from error
    prefix = sum(len(part) + 1 for part in parts[:-1])
    return _Line(path, number, start, columns, image_id, width, height, boxes), prefix


def _feature_width(path: Path) -> int:
    """D, from the first line that can be read; 0 when there is none."""
    error: ScanError | None = None
    with path.open("rb") as file:
        columns = _columns(file)
        number = int(file.tell() > 0)
        for text in file:
            number += 1
            if not text.strip():
                continue
            try:
                line, _ = _parse_head(path, number, 0, text[:_HEAD], columns)
                features = _decode(line, text, "features")
                if len(features) == 0 or len(features) % (4 * line.boxes):
                    raise _length_error(line, "features", len(features), "a multiple of 4 bytes a box")
                return len(features) // (4 * line.boxes)
            except ScanError as found:
                error = error or found
    if error is not None:
        raise error
    return 0


def _read(line: _Line, width: int) -> Features:
    with line.path.open("rb") as file:
        file.seek(line.start)
        text = file.readline()
    boxes, features = _decode(line, text, "boxes"), _decode(line, text, "features")
    if len(boxes) != line.boxes * 16:
        raise _length_error(line, "boxes", len(boxes), f"{line.boxes * 16:,} for {line.boxes} boxes")
    if len(features) != line.boxes * width * 4:
        expected = f"{line.boxes * width * 4:,} for {line.boxes} boxes of {width}"
        raise _length_error(line, "features", len(features), expected)
    table, corners = (np.frombuffer(part, dtype="<f4").reshape(line.boxes, -1) for part in (features, boxes))
    return Features(table, corners, line.width, line.height)


def _decode(line: _Line, text: bytes, column: str) -> bytes:
    parts = text.rstrip(b"\r\n").split(b"\t")
    if len(parts) != len(line.columns):
        raise ScanError(
            f"{line.where}: has {len(parts)} columns, expected {len(line.columns)}. Is it cut short?"
        )
    cell = parts[line.columns.index(column)]
    if cell.startswith(b"b'") and cell.endswith(b"'"):
        cell = cell[2:-1]
    try:
        return binascii.a2b_base64(cell, strict_mode=True)
    except binascii.Error as error:
        raise ScanError(
            f"{line.where}: image {line.image_id!r}: {column} are not base64 ({error}). "
            "Is the line cut short? Copy or download the file again."
        ) from error


def _length_error(line: _Line, what: str, found: int, expected: str) -> ScanError:
    return ScanError(
        f"{line.where}: image {line.image_id!r}: {what} decode to {found:,} bytes; expected {expected}. "
        "All images need the same width; is the line damaged?"
    )


def _base64(count: int) -> int:
    """Length of `count` bytes in base64."""
    return -(-count // 3) * 4
