"""What a store says about itself, and whether a file is one: checked each time a store is opened."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import h5py
import numpy as np

from scan_lightning.data.format import DATASETS, FEATURE_DTYPES, FORMAT, SPLIT_CODES, VERSION
from scan_lightning.data.seal import begins_with_seal
from scan_lightning.errors import ScanError

READ_ERRORS = (OSError, RuntimeError, ValueError, KeyError, TypeError)  # what h5py raises on damage


class Identity(NamedTuple):
    """Which file it is, and whether anyone wrote to it."""

    device: int
    inode: int
    size: int
    written: int  # nanoseconds

    @classmethod
    def of(cls, status: os.stat_result) -> Identity:
        """Take it from what `stat` says."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class Header:
    """What a store says about itself, and which file it was."""

    path: Path
    source: str
    created: str
    tokenizer: str
    feature_dim: int
    feature_dtype: np.dtype[Any]
    feature_offset: int  # bytes from the start of the file
    feature_bytes: int
    images: int
    regions: int
    captions: int
    splits: dict[str, int]  # images of each split that has any
    identity: Identity

    def require_same(self) -> None:
        """Raise a ScanError when the path no longer leads to the file this header was read from."""
        try:
            found = Identity.of(self.path.stat())
        except OSError as error:
            raise ScanError(
                f"{self.path}: was removed while it was in use. Put it back and start again."
            ) from error
        if found != self.identity:
            raise ScanError(
                f"{self.path}: was replaced by another file while it was in use. "
                "Start again; `scan-lightning data check` tells whether it is intact."
            )

    def require_unwritten(self, file: BinaryIO) -> None:
        """Raise a ScanError when the open file was written to since this header was read.

        An unlinked file stays intact under an open handle; one written to does not, and touching the missing
        pages of a shorter one through a memory map would kill the process.
        """
        if Identity.of(os.fstat(file.fileno()))[2:] != self.identity[2:]:
            raise ScanError(
                f"{self.path}: was cut short or overwritten while it was in use. Build or copy it again."
            )

    def require_split(self, split: str) -> None:
        """Raise a ScanError when there is no image of a split."""
        if split not in self.splits:
            there = ", ".join(f"{name} ({count:,} images)" for name, count in self.splits.items())
            raise ScanError(f"{self.path}: has no split {split!r}. It has {there}.")


def read_header(path: Path) -> Header:
    """Read and check a store's header; no feature is read.

    Raises:
        ScanError: missing, no HDF5 file, no store, of another version, unfinished, or cut short.
    """
    try:
        is_there = path.exists()
    except PermissionError as error:
        raise _forbidden(path) from error
    if not is_there:
        raise ScanError(
            f"{path}: there is no such file. `scan-lightning data build --help` shows how to make a store."
        )
    if path.is_dir():
        raise ScanError(
            f"{path}: is a folder; expected a store, one HDF5 file. `scan-lightning data build` makes one of "
            f"a folder of features; `scan-lightning data check --layout scan-release {path}` examines such a "
            "folder."
        )
    identity = Identity.of(path.stat())
    with _open_hdf5(path) as file:
        try:
            _check_attributes(path, file)
            return _read(path, file, identity)
        except READ_ERRORS as error:
            raise ScanError(
                f"{path}: is damaged, its header cannot be read ({first_line(error)}). "
                "`scan-lightning data check` says more; build it again."
            ) from error


def refuse_other_file(target: Path) -> None:
    """Refuse to write a store over a file that never was one, such as what it is made from.

    Raises:
        ScanError: the target holds something and is no store, not even a damaged one, or may not be read.
    """
    try:
        if not target.is_file() or not target.stat().st_size or begins_with_seal(target):
            return
    except PermissionError as error:
        raise _forbidden(target, "give another name") from error
    with contextlib.suppress(*READ_ERRORS), h5py.File(target, "r") as file:
        if file.attrs.get("format") == FORMAT:
            return
    raise ScanError(f"{target}: is not a store, and only a store is replaced by one. Give another name.")


def _open_hdf5(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except PermissionError as error:
        raise _forbidden(path) from error
    except (OSError, RuntimeError) as error:
        size = f"{path.stat().st_size:,} bytes"
        if "truncated file" in str(error):
            raise ScanError(
                f"{path}: is cut short ({size}; HDF5: {first_line(error)}). "
                "The copy was interrupted or the disk was full: copy or build it again."
            ) from error
        raise ScanError(
            f"{path}: is not an HDF5 file or its start is damaged ({size}). Expected a store made by "
            "`scan-lightning data build`."
        ) from error


def _forbidden(path: Path, instead: str = "copy it to a place of your own") -> ScanError:
    return ScanError(f"{path}: cannot be read: permission denied. Ask for permission, or {instead}.")


def _check_attributes(path: Path, file: h5py.File) -> None:
    attrs = file.attrs
    if attrs.get("format") != FORMAT:
        raise ScanError(
            f"{path}: is an HDF5 file but not a store (attribute format is {attrs.get('format')!r}, expected "
            f"{FORMAT!r}). `scan-lightning data build --layout hdf5-vqa` makes a store from other HDF5 dumps."
        )
    if attrs.get("version") != VERSION:
        raise ScanError(
            f"{path}: is a store of version {attrs.get('version')}; this scan-lightning reads "
            f"version {VERSION}. Build it again, or use the scan-lightning that wrote it."
        )
    if not attrs.get("complete", False):
        raise ScanError(f"{path}: is unfinished: its build was interrupted. Build it again.")


def _read(path: Path, file: h5py.File, identity: Identity) -> Header:
    missing = [name for name in DATASETS if name not in file]
    if missing:
        raise ScanError(f"{path}: lacks the datasets {', '.join(missing)}. Build it again.")
    features = file["region/features"]
    feature_dim = int(file.attrs["feature_dim"])
    offset = features.id.get_offset()
    if str(features.dtype) not in FEATURE_DTYPES or features.ndim != 2 or features.shape[1] != feature_dim:
        raise ScanError(
            f"{path}: /region/features is {features.dtype} {features.shape}; expected "
            f"{' or '.join(FEATURE_DTYPES)} (regions, {feature_dim})."
        )
    if features.chunks is not None or offset is None:
        raise ScanError(
            f"{path}: /region/features is not contiguous, so it cannot be streamed: another program rewrote "
            "the file. Build it again."
        )
    if offset + features.nbytes > identity.size:
        raise ScanError(
            f"{path}: is cut short: {identity.size:,} bytes, but the features end at byte "
            f"{offset + features.nbytes:,}. Copy or build it again."
        )
    codes = file["image/split"][:]
    counts = {name: int((codes == code).sum()) for name, code in SPLIT_CODES.items()}
    return Header(
        path=path,
        source=str(file.attrs["source"]),
        created=str(file.attrs["created"]),
        tokenizer=str(file.attrs["tokenizer"]),
        feature_dim=feature_dim,
        feature_dtype=features.dtype,
        feature_offset=int(offset),
        feature_bytes=int(features.nbytes),
        images=len(file["image/id"]),
        regions=len(features),
        captions=len(file["caption/text"]),
        splits={name: count for name, count in counts.items() if count},
        identity=identity,
    )


def has(file: h5py.File, name: str) -> bool:
    """Whether there is a dataset of this name; a damaged one is there, and reading it says what is wrong."""
    try:
        return name in file
    except READ_ERRORS:
        return True


def first_line(error: BaseException) -> str:
    """The first line of a library's error."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
