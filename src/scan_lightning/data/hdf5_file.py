"""An HDF5 file to write a store into, on a disk that may fill up.

HDF5 crashes the process when its own structures cannot be written. So the room for them is reserved before
HDF5 touches the file; what is left over is cut off at the end. Rows of a large array that cannot be written
are an ordinary error, after which the file is pointed at memory, where HDF5 can close it.
"""

from __future__ import annotations

import contextlib
import os
import struct
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py

from scan_lightning.data.seal import USER_BLOCK
from scan_lightning.files import writing

STRUCTURES = 1 << 20  # bytes, far more than the headers and indices of one step take
_STRING = 64  # bytes a string at most: its reference, its place in the heap, padding
_LARGE = 64 << 20  # an array of this size is not reserved: some file systems would write all of it twice
_END_OF_FILE = USER_BLOCK + 28  # where a superblock (version 2 or 3) keeps it


@contextmanager
def new_file(partial: Path, target: Path) -> Iterator[h5py.File]:
    """Open `partial` for writing; flushed and closed when the block ends, given up after an error.

    Its metadata carry checksums (HDF5 1.10 on), its large arrays start on a page, and a user block is free.

    Raises:
        ScanError: it cannot be written; the message names `target`.
    """
    with writing(target):
        file = h5py.File(
            partial,
            "w",
            libver=("v110", "v110"),
            userblock_size=USER_BLOCK,
            alignment_threshold=1 << 20,
            alignment_interval=USER_BLOCK,
            locking=False,
        )
    try:
        yield file
        with writing(target):
            file.flush()
    except BaseException:
        _abandon(file)
        raise
    with writing(target):
        file.close()
        _trim(partial)


def reserve(file: h5py.File, extra: int = 0) -> None:
    """Reserve room for what HDF5 will write next: `extra` bytes of content, and its structures.

    Raises:
        OSError: there is no room; HDF5 has written nothing.
    """
    if not hasattr(os, "posix_fallocate"):  # macOS
        return
    handle = file.id.get_vfd_handle()
    end = file.id.get_filesize() + extra + STRUCTURES
    start = 0
    if "region/features" in file:
        features = file["region/features"].id
        first, size = features.get_offset(), features.get_storage_size()
        if size >= _LARGE:
            os.posix_fallocate(handle, 0, first)
            start = first + size
    os.posix_fallocate(handle, start, end - start)


def string_bytes(texts: Sequence[str]) -> int:
    """Bytes that strings take in the file, at most."""
    return sum(4 * len(text) + _STRING for text in texts)


def _trim(partial: Path) -> None:
    """Cut off what was reserved and not needed."""
    with partial.open("r+b") as file:
        file.seek(_END_OF_FILE)
        (end,) = struct.unpack("<Q", file.read(8))
        file.truncate(end)


def _abandon(file: h5py.File) -> None:
    """Close a file that is not wanted any more; its last writes go to memory, where they succeed."""
    with contextlib.suppress(Exception), tempfile.TemporaryFile() as elsewhere:
        scratch = os.memfd_create("abandoned") if hasattr(os, "memfd_create") else os.dup(elsewhere.fileno())
        os.dup2(scratch, file.id.get_vfd_handle())
        os.close(scratch)
    with contextlib.suppress(Exception):
        file.close()
