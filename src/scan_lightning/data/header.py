"""What a store says about itself, and whether a file is one: checked each time a store is opened."""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import h5py
import numpy as np

from scan_lightning.data.datasets import READ_ERRORS, dataset_errors, first_line
from scan_lightning.data.format import ATTRIBUTES, FORMAT, SPLIT_CODES, VERSION
from scan_lightning.data.seal import begins_with_seal
from scan_lightning.errors import ScanError


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
    links: bool  # whether there are gold links
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
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ScanError(f"{path}: is a pipe, socket or device; expected a store, one HDF5 file.")
    with _open_hdf5(path) as file:
        try:
            return _read(path, file, _attributes(path, file), Identity.of(status))
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
        if _attribute(file, "format", str) == FORMAT:
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


def _attribute(file: h5py.File, name: str, kind: type) -> Any:
    """One attribute, None unless it is one value of its type, stored in place."""
    found = file.attrs.get_id(name) if name in file.attrs else None
    if found is None or found.shape != () or found.dtype.kind not in "Sib":
        return None
    value = np.asarray(file.attrs[name]).item()
    value = value.decode() if isinstance(value, bytes) else value
    return value if type(value) is kind else None


def _attributes(path: Path, file: h5py.File) -> dict[str, Any]:
    """The store's attributes, each of its type."""
    attrs = {name: _attribute(file, name, kind) for name, kind in ATTRIBUTES.items()}
    if attrs["format"] is None and begins_with_seal(path):
        raise ScanError(f"{path}: is damaged, or a store of an earlier scan-lightning. Build it again.")
    if attrs["format"] != FORMAT:
        raise ScanError(
            f"{path}: is an HDF5 file but not a store (attribute format is {attrs['format']!r:.80}, expected "
            f"{FORMAT!r}). `scan-lightning data build --layout hdf5-vqa` makes a store from other HDF5 dumps."
        )
    if attrs["version"] != VERSION:
        raise ScanError(
            f"{path}: is a store of version {attrs['version']}; this scan-lightning reads "
            f"version {VERSION}. Build it again, or use the scan-lightning that wrote it."
        )
    if not attrs["complete"]:
        raise ScanError(f"{path}: is unfinished: its build was interrupted. Build it again.")
    wrong = [f"{name} ({ATTRIBUTES[name].__name__})" for name, value in attrs.items() if value is None]
    if wrong or attrs["feature_dim"] < 1:
        raise ScanError(f"{path}: lacks the attributes {', '.join(wrong) or 'feature_dim'}. Build it again.")
    return attrs


def _read(path: Path, file: h5py.File, attrs: dict[str, Any], identity: Identity) -> Header:
    sizes, errors = dataset_errors(file, attrs["feature_dim"], identity.size)
    if errors:
        raise ScanError(f"{path}: {'; '.join(errors)}. Copy or build it again.")
    features, codes = file["region/features"], file["image/split"][:]
    if not sizes["N"]:
        raise ScanError(f"{path}: holds no image. Build it again.")
    counts = {name: int((codes == code).sum()) for name, code in SPLIT_CODES.items()}
    return Header(
        path=path,
        source=attrs["source"],
        created=attrs["created"],
        tokenizer=attrs["tokenizer"],
        feature_dim=attrs["feature_dim"],
        feature_dtype=features.dtype,
        feature_offset=int(features.id.get_offset()),
        feature_bytes=int(features.nbytes),
        images=sizes["N"],
        regions=sizes["R"],
        captions=sizes["C"],
        links="L" in sizes,
        splits={name: count for name, count in counts.items() if count},
        identity=identity,
    )
