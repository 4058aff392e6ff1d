"""`.npy` files by memory map: the header is parsed, the array never loaded whole, nothing ever unpickled."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scan_lightning.data.layouts.fault import FileError, unreadable


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
        """The file's length when it is whole."""
        return self.offset + math.prod(self.shape) * self.dtype.itemsize


def read_npy_header(path: Path) -> NpyHeader:
    """Parse the header only.

    Raises:
        FileError: missing, not an `.npy` file, its header is damaged, or it holds Python objects.
    """
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }.get(version)
            if read is None:
                raise FileError(
                    path,
                    "wrong type",
                    f"is an .npy file of version {version}; save it again with numpy.save.",
                )
            shape, fortran, dtype = read(file)
            offset = file.tell()
        header = NpyHeader(tuple(shape), dtype, fortran, offset, path.stat().st_size)
    except FileNotFoundError as error:
        raise FileError(path, "missing", "there is no such file.") from error
    except (ValueError, EOFError, SyntaxError, TypeError, struct.error) as error:
        raise FileError(
            path,
            "damaged",
            f"is not an .npy file or its header is damaged ({path.stat().st_size:,} bytes). "
            "Copy or download it again.",
        ) from error
    except OSError as error:
        raise unreadable(path, error) from error
    if dtype.hasobject:
        raise FileError(
            path,
            "wrong type",
            "holds pickled Python objects, which could run any code when read, so it is not read at all. "
            "Expected an array of numbers.",
        )
    return header


def map_npy(path: Path, expected: str, rank: int) -> np.ndarray:
    """A float array of the file as a read-only memory map.

    Args:
        path: The file.
        expected: Its shape in words, for messages.
        rank: Number of dimensions.

    Raises:
        FileError: as `read_npy_header`; or wrong rank, no floats, empty, cut short, too long.
    """
    header = read_npy_header(path)
    if len(header.shape) != rank or 0 in header.shape:
        raise FileError(
            path, "wrong shape", f"has shape {header.shape}; expected {expected}, none of them 0. Save it so."
        )
    if header.dtype.kind != "f":
        raise FileError(path, "wrong type", f"holds {header.dtype}; expected float32 (or float16, float64).")
    require_whole(path, header)
    mapped = np.memmap(
        path,
        dtype=header.dtype,
        mode="r",
        offset=header.offset,
        shape=header.shape,
        order="F" if header.fortran else "C",
    )
    return mapped.view(np.ndarray)


def require_whole(path: Path, header: NpyHeader) -> None:
    """Check that the file is as long as its header says.

    Raises:
        FileError: it is cut short or too long.
    """
    difference = header.file_bytes - header.expected_bytes
    if difference:
        raise FileError(
            path,
            "truncated" if difference < 0 else "too long",
            f"is {'cut short' if difference < 0 else 'too long'}: {header.file_bytes:,} bytes, its shape "
            f"{header.shape} of {header.dtype} needs {header.expected_bytes:,}. Copy or download it again.",
        )
