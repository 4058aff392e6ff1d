"""Files that appear complete or not at all, and the one message when a disk refuses them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from scan_lightning.errors import ScanError
from scan_lightning.units import size_text


@contextmanager
def atomic_file(target: Path, *, overwrite: bool = True, needed_bytes: int = 0) -> Iterator[Path]:
    """Give a temporary name beside `target`; when the block ends well, flush it to the disk and rename it.

    The temporary file `.NAME.partial` is locked while it is written, so that a second writer of the same
    target is refused and what a killed one left is taken over. Any exception (Ctrl-C too) removes it.

    Args:
        target: the final name; missing parent folders are made, and removed again after an exception.
        overwrite: whether an existing target may be replaced, at the end.
        needed_bytes: refuse at once when the disk has less room than this.

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


def write_file(target: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file, replacing an existing one.

    Args:
        target: the final name; missing parent folders are made.
        write: fills the open file.

    Raises:
        ScanError: the target cannot be written, or is being written by another process.
    """
    with atomic_file(target) as partial, writing(target), partial.open("wb") as file:
        write(file)


def write_text(target: Path, text: str) -> None:
    """Write a text file, as `write_file`."""
    write_file(target, lambda file: file.write(text.encode()))


def write_json(target: Path, values: Any) -> None:
    """Write plain values as indented JSON, as `write_file`."""
    write_text(target, json.dumps(values, indent=2) + "\n")


def link_file(source: Path, target: Path) -> None:
    """Give a file a second name, by a hard link where the file system has them, else by a copy.

    Args:
        source: the file.
        target: its other name, replaced when it exists; missing parent folders are made.

    Raises:
        ScanError: the target cannot be written.
    """
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        os.link(source, partial)
    except OSError:  # no hard links here (FAT, some network file systems)
        write_file(target, lambda file: file.write(source.read_bytes()))
        return
    with writing(target):
        partial.replace(target)
        # Renaming one name of a file over another of the same file does nothing at all.
        partial.unlink(missing_ok=True)
        _sync(target.parent)


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn a failed write into the user's message, which names the target, never the temporary file.

    Raises:
        ScanError: an OSError came out of the block, or lies behind what did.
    """
    try:
        yield
    except ScanError:
        raise
    except Exception as error:
        refused: BaseException | None = error
        while refused is not None and not isinstance(refused, OSError):  # torch hides it behind its own
            refused = refused.__cause__ or refused.__context__
        if refused is None:
            raise
        raise write_error(target, refused) from error


def write_error(target: Path, error: OSError) -> ScanError:
    """The message for a write that failed."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    advice = "Choose another place."
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
        free = shutil.disk_usage(target.parent).free
        reason = f"no space left on the disk ({size_text(free)} free now)"
        advice = "Free some space, or choose another disk."
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        advice = "Choose another place, or change its permissions."
    return ScanError(
        f"{target}: cannot be written: {reason}. {advice} What was under this name before is intact."
    )


def refuse_existing(target: Path, overwrite: bool) -> None:
    """Refuse a target that must not be replaced, before any work is done.

    Raises:
        ScanError: it is a folder, exists while `overwrite` is False, or lies in an unreadable folder.
    """
    with writing(target):
        is_folder, there = target.is_dir(), target.exists()
    if is_folder:
        raise ScanError(f"{target}: is a folder; give the name of a file.")
    if there and not overwrite:
        raise ScanError(f"{target}: exists already. Give another name, or --overwrite to replace it.")


def _refuse_full(target: Path, needed_bytes: int) -> None:
    free = shutil.disk_usage(target.parent).free if needed_bytes else 0
    if free < needed_bytes:
        raise ScanError(
            f"{target}: needs {size_text(needed_bytes)} but the disk has {size_text(free)} free. "
            "Free some space, choose another disk, or store float16."
        )


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders, the innermost first, as far as they are empty."""
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
        # Some cluster file systems have no locks; there two writers of one target are the user's to avoid.
        if error.errno not in (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK):
            raise


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
