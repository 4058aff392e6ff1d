"""The whole-file digest: what the block checksums cannot see, HDF5's own structures above all.

A store starts with a user block of 4,096 bytes, which HDF5 skips. The seal is the text in it: where the
feature array lies, and a SHA-256 over the seal's first lines and every byte of the file outside the feature
array. The feature array's bytes are covered by the block checksums, which lie outside it. So each bit of the
file is covered exactly once, and writing the seal reads only the small part of the file again.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

USER_BLOCK = 4096
_MAGIC = "scan-lightning seal 1"
_CHUNK = 1 << 20


def write_seal(path: Path, skip_start: int, skip_bytes: int) -> None:
    """Seal a closed store and flush it to the disk; the feature array lies in the bytes to skip."""
    with path.open("r+b") as file:
        head = _head(skip_start, skip_bytes)
        text = head + f"sha256 {_digest(file, head, skip_start, skip_bytes)}\n".encode()
        file.seek(0)
        file.write(text.ljust(USER_BLOCK, b"\0"))
        file.flush()
        os.fsync(file.fileno())


def begins_with_seal(path: Path) -> bool:
    """Whether a file is a store that was finished once, whatever has become of the rest of it."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC.encode()


def check_seal(path: Path) -> str | None:
    """What is wrong with a store's seal; None when every byte outside the feature array is as written."""
    with path.open("rb") as file:
        block = file.read(USER_BLOCK)
        text = block.rstrip(b"\0")
        try:
            magic, features, _ = text.decode("ascii").splitlines()
            start, count = (int(number) for number in features.removeprefix("features ").split())
        except ValueError:
            return "the seal at the start of the file is missing or damaged"
        head = _head(start, count)
        if magic != _MAGIC or not text.startswith(head) or len(block) != USER_BLOCK:
            return "the seal at the start of the file is damaged"
        if text != head + f"sha256 {_digest(file, head, start, count)}\n".encode():
            return "the file changed since it was written: the whole-file digest differs"
    return None


def _head(skip_start: int, skip_bytes: int) -> bytes:
    return f"{_MAGIC}\nfeatures {skip_start} {skip_bytes}\n".encode()


def _digest(file: BinaryIO, head: bytes, skip_start: int, skip_bytes: int) -> str:
    total = file.seek(0, os.SEEK_END)
    hasher = hashlib.sha256(head)
    for start, stop in ((USER_BLOCK, skip_start), (skip_start + skip_bytes, total)):
        file.seek(start)
        left = stop - start
        while left > 0 and (chunk := file.read(min(_CHUNK, left))):
            hasher.update(chunk)
            left -= len(chunk)
    return hasher.hexdigest()
