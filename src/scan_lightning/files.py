"""Files of a run's folder that appear whole or not at all, and the message when a disk refuses them."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from scan_lightning.errors import ScanError


def write_whole(target: Path, write: Callable[[BinaryIO], None]) -> None:
    """Write a file under a temporary name beside it, make it durable, rename it.

    Whatever stops this, the name holds the old content or the new, never a part.

    Args:
        target: the final name; missing parent folders are made.
        write: fills the open file.

    Raises:
        ScanError: the disk is full or refuses.
    """
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
        _sync_folder(target.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        refused = _os_error(error)
        if refused is not None:
            raise refusal(target, refused) from error
        raise


def write_json(target: Path, values: dict[str, Any]) -> None:
    """Write plain values as indented JSON, whole or not at all."""
    text = json.dumps(values, indent=2) + "\n"
    write_whole(target, lambda file: _write(file, text))


def write_text(target: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    write_whole(target, lambda file: _write(file, text))


def same_file(source: Path, target: Path) -> None:
    """Give a file a second name without writing it again where the file system can; atomic too.

    Args:
        source: the file.
        target: its other name; missing parent folders are made.

    Raises:
        ScanError: the disk is full or refuses.
    """
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        os.link(source, partial)
    except OSError:  # no hard links here (FAT, some network file systems)
        write_whole(target, lambda file: _copy(source, file))
        return
    try:
        partial.replace(target)
        # Renaming one name of a file over another of the same file does nothing at all.
        partial.unlink(missing_ok=True)
        _sync_folder(target.parent)
    except OSError as error:
        raise refusal(target, error) from error


def refusal(target: Path, error: OSError) -> ScanError:
    """Return the message for a write that failed."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(target.parent).free / 1e9
        return ScanError(
            f"{target}: cannot be written, the disk is full ({free:.2f} GB free). What was saved before is "
            "intact: free some space and go on with resume=auto."
        )
    return ScanError(
        f"{target}: cannot be written ({os.strerror(error.errno) if error.errno else error}). "
        "Choose another run_dir, or change its permissions."
    )


def _os_error(error: BaseException) -> OSError | None:
    """Return the system's refusal behind an error; torch hides it behind one of its own."""
    while not isinstance(error, OSError):
        cause = error.__cause__ or error.__context__
        if cause is None:
            return None
        error = cause
    return error


def _write(file: BinaryIO, text: str) -> None:
    file.write(text.encode())


def _copy(source: Path, file: BinaryIO) -> None:
    with source.open("rb") as original:
        shutil.copyfileobj(original, file)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
