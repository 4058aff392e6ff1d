"""Is the data there and whole? What is missing is said in one message, with where to get it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from scan_lightning.data.layouts.npy import read_npy_header, require_complete
from scan_lightning.data.layouts.scan_files import RELEASED_CAPTIONS, SplitFiles
from scan_lightning.data.layouts.source_files import FileError, collect
from scan_lightning.errors import ScanError
from scan_lightning.reproduce.tables import Table

UNREAD = ("damaged", "unreadable")  # states of a text file whose lines could not be counted


def find_data(table: Table, given: Path | None) -> Path:
    """The folder with the released files, every file checked by its header and line count.

    Args:
        table: what is to be reproduced.
        given: the folder itself, or the one it lies in.

    Raises:
        ScanError: no folder given, files missing, or files that are not what they should be.
    """
    if given is None:
        raise _missing(table, "no data folder was given", Path("DIR"))
    folder = given / table.needs.folder
    if not folder.is_dir():
        folder = given
    if not folder.is_dir():
        raise _missing(table, f"there is no folder {given}", given)
    absent = [name for name in _files(table) if not (folder / name).exists()]
    faults = [
        fault
        for split, images in table.needs.splits.items()
        for fault in _faults(SplitFiles(folder, split), images, table.needs.width)
    ]
    if absent:
        raise _missing(table, f"{folder} lacks {', '.join(absent)}", given, faults)
    if faults:
        count = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}"
        lines = "\n".join(f"  {fault}" for fault in faults)
        raise ScanError(f"{table.title}: {count} in the files of {folder}\n{lines}")
    return folder


def _files(table: Table) -> list[str]:
    return [f"{split}_{ending}" for split in table.needs.splits for ending in ("ims.npy", "caps.txt")]


def _missing(table: Table, what: str, given: Path, faults: Sequence[str] = ()) -> ScanError:
    needs = table.needs
    others = "".join(f"  faulty  {fault}\n" for fault in faults)
    return ScanError(
        f"{table.title}: {what}.\n{others}"
        f"  needed  {', '.join(_files(table))}\n"
        f"  from    {needs.source}\n"
        f"  size    {needs.size}\n"
        f"  put in  {given}/{needs.folder}/ (or any folder), then: make {table.target} DATA={given}\n"
        f"  to try  make {table.target} DRY=1 runs every step on generated data, without any of this"
    )


def _faults(files: SplitFiles, expected: int | None, width: int | None) -> list[str]:
    """What is wrong with those of a split's files that are there; one line each."""
    if expected is None:
        return _lines(fault for fault in files.errors if fault.state != "missing")
    faults: list[FileError] = []
    features, captions = files.file("ims.npy"), files.file("caps.txt")
    header = collect(faults, lambda: read_npy_header(features)) if features.exists() else None
    if header is not None:
        collect(faults, lambda: require_complete(features, header))
        shape = f"(images, regions, {width or 'width'})"
        if len(header.shape) != 3 or (width is not None and header.shape[2] != width):
            faults.append(FileError(features, "wrong shape", f"has shape {header.shape}; expected {shape}"))
        rows = header.shape[0] if header.shape else 0
        if rows not in (expected, expected * RELEASED_CAPTIONS):  # the older form has each image five times
            faults.append(FileError(features, "wrong shape", f"holds {rows:,} images; expected {expected:,}"))
    faults += [fault for fault in files.errors if fault.path == captions and fault.state in UNREAD]
    count = expected * RELEASED_CAPTIONS
    if files.lines is not None and files.lines.count != count:
        faults.append(FileError(captions, "truncated", f"{files.lines.count:,} captions; expected {count:,}"))
    return _lines(faults)


def _lines(faults: Iterable[FileError]) -> list[str]:
    return [f"{fault.path.name}: {fault.detail}" for fault in faults]
