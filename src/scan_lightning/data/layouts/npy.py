"""`.npy` files by memory map: the header is parsed, the array stays on the disk, nothing is unpickled."""

from __future__ import annotations

import math
import struct
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from scan_lightning.data.layouts.source_files import FileError, unreadable

PICKLED = (
    "holds pickled Python objects, which could run any code when read, so it is not read at all. "
    "Expected an array of numbers."
)
HEADER_ERRORS = (ValueError, EOFError, SyntaxError, TypeError, struct.error, tokenize.TokenError)


@dataclass(frozen=True)
class NpyHeader:
    """What a `.npy` file promises, and how long the file is."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    offset: int
    file_bytes: int

    @property
    def expected_bytes(self) -> int:
        """The file's length when it is complete."""
        return self.offset + math.prod(self.shape) * self.dtype.itemsize


class UnknownVersionError(ValueError):
    """An `.npy` header of a version that NumPy does not write for arrays of numbers."""


def parse_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, Fortran order and type of an open `.npy` file; one of HEADER_ERRORS when it is damaged."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file)
    raise UnknownVersionError(f"is an .npy file of version {version}; save it again with numpy.save.")


def read_npy_header(path: Path) -> NpyHeader:
    """Parse the header only.

    Raises:
        FileError: missing, not an `.npy` file, its header is damaged, or it holds Python objects.
    """
    try:
        with path.open("rb") as file:
            shape, fortran, dtype = parse_header(file)
            header = NpyHeader(tuple(shape), dtype, fortran, file.tell(), path.stat().st_size)
    except FileNotFoundError as error:
        raise FileError(path, "missing", "there is no such file.") from error
    except UnknownVersionError as error:
        raise FileError(path, "wrong type", str(error)) from error
    except HEADER_ERRORS as error:
        size = path.stat().st_size
        detail = f"is not an .npy file or its header is damaged ({size:,} bytes). Copy or download it again."
        raise FileError(path, "damaged", detail) from error
    except OSError as error:
        raise unreadable(path, error) from error
    if dtype.hasobject:
        raise FileError(path, "wrong type", PICKLED)
    return header


def map_npy(path: Path, expected: str, rank: int) -> np.ndarray:
    """A float array as a read-only memory map; messages call its shape of `rank` dimensions `expected`.

    Raises:
        FileError: as `read_npy_header`; or wrong rank, no floats, empty, cut short, too long.
    """
    header = read_npy_header(path)
    shape, dtype = header.shape, header.dtype
    if len(shape) != rank or 0 in shape:
        detail = f"has shape {shape}; expected {expected}, none of them 0. Save it so."
        raise FileError(path, "wrong shape", detail)
    if dtype.kind != "f":
        raise FileError(path, "wrong type", f"holds {dtype}; expected float32 (or float16, float64).")
    require_complete(path, header)
    order: Any = "F" if header.fortran else "C"
    return np.memmap(path, dtype, "r", header.offset, shape, order).view(np.ndarray)


def require_complete(path: Path, header: NpyHeader) -> None:
    """Raise a FileError when the file is not as long as its header says."""
    difference = header.file_bytes - header.expected_bytes
    if difference:
        state, words = ("truncated", "cut short") if difference < 0 else ("too long", "too long")
        detail = (
            f"is {words}: {header.file_bytes:,} bytes, its shape {header.shape} of {header.dtype} needs "
            f"{header.expected_bytes:,}. Copy or download it again."
        )
        raise FileError(path, state, detail)
