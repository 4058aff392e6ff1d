"""A file that appears whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scan_lightning.data.units import size_text
from scan_lightning.errors import ScanError


@contextmanager
def atomic_file(target: Path, *, overwrite: bool, needed_bytes: int = 0) -> Iterator[Path]:
    """Give a temporary name beside `target`; when the block ends well, make it durable and rename it.

    The temporary file `.NAME.partial` is locked while it is written, so a second build of the same target is
    refused, and what a killed build left behind is simply taken over. Any exception (Ctrl-C too) removes it.

    Args:
        target: The final name; missing parent folders are made, and removed again after an exception.
        overwrite: Whether an existing target may be replaced (atomically, at the end).
        needed_bytes: Refuse at once when the disk has less room than this.

    Raises:
        ScanError: the target exists, cannot be written, is being written by another process, or does not fit.
    """
    partial = target.with_name(f".{target.name}.partial")
    made: list[Path] = []
    try:
        with writing(target):
            made += [folder for folder in target.absolute().parents if not folder.exists()]
            target.parent.mkdir(parents=True, exist_ok=True)
            lock = _lock(partial, target)
    except BaseException:
        _remove_empty(made)
        raise
    try:
        refuse_existing(target, overwrite)
        _refuse_full(target, needed_bytes)
        yield partial
        with writing(target):
            _sync(partial)
            partial.replace(target)
            _sync(target.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        _remove_empty(made)
        raise
    finally:
        os.close(lock)


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn a failed write into the user's message, which names the target, never the temporary file.

    Raises:
        ScanError: an OSError came out of the block.
    """
    try:
        yield
    except OSError as error:
        raise write_fault(target, error) from error


def write_fault(target: Path, error: OSError) -> ScanError:
    """The message for a write that failed."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    advice = "Choose another folder for --out."
    if error.errno == errno.ENOSPC or "No space left" in str(error):
        free = _free_bytes(target.parent)
        reason = f"no space left on the disk ({size_text(free)} free now)"
        advice = "Free some space, or choose another disk."
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        advice = "The folder is not writable for you; choose another one."
    return ScanError(f"{target}: cannot be written: {reason}. {advice} Nothing was left under this name.")


def refuse_existing(target: Path, overwrite: bool) -> None:
    """Refuse a target that must not be replaced, before any work is done.

    Raises:
        ScanError: it is a folder, exists while `overwrite` is False, or lies where one may not look.
    """
    with writing(target):
        is_folder, there = target.is_dir(), target.exists()
    if is_folder:
        raise ScanError(f"{target}: is a folder; give the name of a file.")
    if there and not overwrite:
        raise ScanError(f"{target}: exists already. Give another name, or --overwrite to replace it.")


def _refuse_full(target: Path, needed_bytes: int) -> None:
    free = _free_bytes(target.parent)
    if free < needed_bytes:
        raise ScanError(
            f"{target}: needs {size_text(needed_bytes)} but the disk has {size_text(free)} free. "
            "Free some space, choose another disk, or store float16."
        )


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders, the innermost first, as far as nothing is in them."""
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _lock(partial: Path, target: Path) -> int:
    while True:
        handle = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            _flock(handle)
            # The process that held the lock may have renamed or removed the file since we opened it.
            if os.path.samestat(os.fstat(handle), partial.stat()):
                os.ftruncate(handle, 0)
                return handle
        except BlockingIOError as error:
            os.close(handle)
            raise ScanError(
                f"{target}: another process is writing this file now. Wait for it, or choose another name."
            ) from error
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _flock(handle: int) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Some cluster file systems have no locks; there two builds of one target are the user's to avoid.
        if error.errno not in (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK):
            raise


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
