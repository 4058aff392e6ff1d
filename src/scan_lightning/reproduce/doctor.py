"""Is the data there and whole? What is missing is said in one message, with where to get it."""

from __future__ import annotations

from pathlib import Path

from scan_lightning.data.layouts.lines import count_lines
from scan_lightning.data.layouts.npy import read_npy_header
from scan_lightning.errors import ScanError
from scan_lightning.reproduce.tables import CAPTIONS_EACH, Table


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
    if absent:
        raise _missing(table, f"{folder} lacks {', '.join(absent)}", given)
    faults = [fault for split in table.needs.splits for fault in _faults(table, folder, split)]
    if faults:
        lines = "\n".join(f"  {fault}" for fault in faults)
        raise ScanError(
            f"{table.title}: {len(faults)} of the files in {folder} are not what they should be\n{lines}"
        )
    return folder


def _files(table: Table) -> list[str]:
    return [f"{split}_{ending}" for split in table.needs.splits for ending in ("ims.npy", "caps.txt")]


def _missing(table: Table, what: str, given: Path) -> ScanError:
    needs = table.needs
    return ScanError(
        f"{table.title}: {what}.\n"
        f"  needed  {', '.join(_files(table))}\n"
        f"  from    {needs.source}\n"
        f"  size    {needs.size}\n"
        f"  put in  {given}/{needs.folder}/ (or any folder), then: make {table.target} DATA={given}\n"
        f"  to try  make {table.target} DRY=1 runs every step on generated data, without any of this"
    )


def _faults(table: Table, folder: Path, split: str) -> list[str]:
    """What is wrong with a split's two files; one line each."""
    faults = []
    features, captions = folder / f"{split}_ims.npy", folder / f"{split}_caps.txt"
    expected, width = table.needs.splits[split], table.needs.width
    header = read_npy_header(features)
    if header.file_bytes < header.expected_bytes:
        faults.append(
            f"{features.name}: cut short, {header.file_bytes:,} of {header.expected_bytes:,} bytes: "
            "copy or download it again"
        )
    if len(header.shape) != 3 or (width is not None and header.shape[2] != width):
        faults.append(
            f"{features.name}: has shape {header.shape}; expected (images, regions, {width or 'width'})"
        )
    rows, lines = header.shape[0] if header.shape else 0, count_lines(captions).count
    if expected is not None:
        if rows not in (
            expected,
            expected * CAPTIONS_EACH,
        ):  # the older form repeats each image five times
            faults.append(f"{features.name}: holds {rows:,} images; expected {expected:,}")
        if lines != expected * CAPTIONS_EACH:
            faults.append(f"{captions.name}: {lines:,} captions; expected {expected * CAPTIONS_EACH:,}")
    return faults
