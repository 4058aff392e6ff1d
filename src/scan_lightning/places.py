"""Whether a command will be able to write what it is about to work out; asked first, and nothing is made."""

from __future__ import annotations

import os
from pathlib import Path

from scan_lightning.errors import ScanError


def folder_fault(folder: Path) -> str | None:
    """Say why nothing could be written into a folder, whether it is there already or not.

    Returns:
        Such as `/a/file is not a folder`; None when nothing speaks against it.
    """
    nearest = folder.absolute()
    while not os.path.lexists(nearest):
        nearest = nearest.parent
    if not nearest.is_dir():
        return f"{nearest} is not a folder"
    if not os.access(nearest, os.W_OK | os.X_OK):
        return f"{nearest} cannot be written to"
    return None


def require_folder(folder: Path, option: str) -> None:
    """Refuse a folder that could not be written into.

    Args:
        folder: it, there or not.
        option: what the user gave it as, such as `--out`.

    Raises:
        ScanError: something else is in its way, or it is not writable.
    """
    fault = folder_fault(folder)
    if fault is not None:
        raise ScanError(f"{option} {folder}: {fault}; expected a folder to write into, give another")


def require_file(path: Path, option: str) -> None:
    """Refuse the name of a file that could not be written.

    Args:
        path: it, there or not; a file of this name would be replaced.
        option: what the user gave it as, such as `--out`.

    Raises:
        ScanError: a folder has the name, something else is in its way, or its folder is not writable.
    """
    if path.is_dir():
        raise ScanError(f"{option} {path}: is a folder; expected the name of a file, such as {path / 'NAME'}")
    fault = folder_fault(path.parent)
    if fault is not None:
        raise ScanError(f"{option} {path}: {fault}; expected a file in a folder to write into, give another")
