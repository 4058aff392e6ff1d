"""The first-generation source of region features: bottom-up-attention's TSV, one image a line.

Columns: image_id, image_w, image_h, num_boxes, boxes, features; the last two base64 of float32, (k, 4) and
(k, D). Any number of regions a line, any number of files (`*.tsv`, `*.tsv.0`, ...).
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from scan_lightning.data.layouts.caption_index import read_captions
from scan_lightning.data.layouts.source_files import find_files
from scan_lightning.data.layouts.sources import Features, Found, Source, join
from scan_lightning.errors import ScanError
from scan_lightning.progress import progress

COLUMNS = ("image_id", "image_w", "image_h", "num_boxes", "boxes", "features")
_HEAD = 256  # bytes that hold the four short columns


@dataclass(frozen=True)
class _Line:
    """A line's short columns and where it lies."""

    path: Path
    number: int
    start: int
    image_id: str
    width: int
    height: int
    boxes: int

    @property
    def where(self) -> str:
        return f"{self.path}: line {self.number}"


def open_source(root: Path, captions: Path | None = None) -> Source:
    """Find the lines of all TSV files of a folder, or of one file, and join them with captions."""
    files = find_files(root, ("*.tsv", "*.tsv.[0-9]*"))
    index = read_captions(captions or (root.parent if root.is_file() else root))
    width = _feature_width(files[0])
    found = []
    total = sum(file.stat().st_size for file in files)
    with progress("finding images", total, "bytes") as advance:
        for file in files:
            done = 0
            for line, end in _lines(file, width):
                found.append(Found(line.image_id, line.where, line.boxes, partial(_read, line, width)))
                advance(end - done)
                done = end
    return join("bottom-up-tsv", root, found, width, index)


def _lines(path: Path, width: int) -> Iterator[tuple[_Line, int]]:
    """The lines of a file with the byte after each. The long columns are stepped over, not read."""
    size = path.stat().st_size
    with path.open("rb") as file:
        number = 0
        while file.tell() < size:
            number += 1
            start = file.tell()
            head = file.read(_HEAD)
            if head.startswith(b"image_id\t") or not head.split(b"\n", 1)[0].strip():
                file.seek(start)  # column names, or an empty line
                file.readline()
                continue
            line, prefix = _parse_head(path, number, start, head)
            stop = start + prefix + _base64(line.boxes * 16) + 1 + _base64(line.boxes * width * 4)
            file.seek(stop)
            ending = file.read(2)
            ends_well = stop <= size and (ending[:1] in (b"", b"\n") or ending == b"\r\n")
            file.seek(stop if ends_well else start)  # a line of another length: _read will say why
            rest = file.readline()
            if stop > size and not rest.endswith(b"\n"):
                raise ScanError(
                    f"{line.where}: is cut short: the file ends {stop - size:,} bytes too early. "
                    "Copy or download it again."
                )
            yield line, file.tell()


def _parse_head(path: Path, number: int, start: int, head: bytes) -> tuple[_Line, int]:
    """The short columns of a line, and how many bytes they take with their tabs."""
    parts = head.split(b"\t", 4)
    try:
        if len(parts) < 5:
            raise ValueError
        image_id = parts[0].decode("utf-8").strip()
        width, height, boxes = (int(float(part)) for part in parts[1:4])
        if boxes < 1 or width < 0 or height < 0 or not image_id:
            raise ValueError
    except (ValueError, OverflowError) as error:
        shown = head[:40].decode("utf-8", "replace").replace("\n", " ").replace("\r", " ")
        raise ScanError(
            f"{path}: line {number} starts with {shown!r}; expected the columns {', '.join(COLUMNS)}, "
            "separated by tabs."
        ) from error
    prefix = sum(len(part) + 1 for part in parts[:4])
    return _Line(path, number, start, image_id, width, height, boxes), prefix


def _feature_width(path: Path) -> int:
    """D, from the first line that holds an image."""
    with path.open("rb") as file:
        for number, text in enumerate(file, start=1):
            if not text.strip() or text.startswith(b"image_id\t"):
                continue
            line, _ = _parse_head(path, number, 0, text[:_HEAD])
            features = _decode(line, text, 5)
            if len(features) == 0 or len(features) % (4 * line.boxes):
                raise _length_error(line, "features", len(features), "a multiple of 4 bytes a box")
            return len(features) // (4 * line.boxes)
    raise ScanError(f"{path}: holds no image.")


def _read(line: _Line, width: int) -> Features:
    with line.path.open("rb") as file:
        file.seek(line.start)
        text = file.readline()
    boxes, features = _decode(line, text, 4), _decode(line, text, 5)
    if len(boxes) != line.boxes * 16:
        raise _length_error(line, "boxes", len(boxes), f"{line.boxes * 16:,} for {line.boxes} boxes")
    if len(features) != line.boxes * width * 4:
        expected = f"{line.boxes * width * 4:,} for {line.boxes} boxes of {width}"
        raise _length_error(line, "features", len(features), expected)
    table, corners = (np.frombuffer(part, dtype="<f4").reshape(line.boxes, -1) for part in (features, boxes))
    return Features(table, corners, line.width, line.height)


def _decode(line: _Line, text: bytes, column: int) -> bytes:
    parts = text.rstrip(b"\r\n").split(b"\t")
    if len(parts) != len(COLUMNS):
        raise ScanError(f"{line.where}: has {len(parts)} columns, expected {len(COLUMNS)}. Is it cut short?")
    try:
        return binascii.a2b_base64(parts[column], strict_mode=True)
    except binascii.Error as error:
        raise ScanError(
            f"{line.where}: image {line.image_id!r}: {COLUMNS[column]} are not base64 ({error}). "
            "Copy or download the file again."
        ) from error


def _length_error(line: _Line, what: str, found: int, expected: str) -> ScanError:
    return ScanError(
        f"{line.where}: image {line.image_id!r}: {what} decode to {found:,} bytes; expected {expected}. "
        "All images need the same width; is the line damaged?"
    )


def _base64(count: int) -> int:
    """Length of `count` bytes in base64."""
    return -(-count // 3) * 4
