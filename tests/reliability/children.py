"""Runs in processes of their own that can be killed: forked, because starting Python anew takes seconds."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from scan_lightning.errors import ScanError

DONE, CRASHED, REFUSED, INTERRUPTED = 0, 1, 2, 130  # as the command's status


def in_child(action: Callable[[], object], log: Path | None = None) -> int:
    """Fork, run, and give the child's process id.

    Args:
        action: what the child does; its ScanError ends it with status 2 and one line on its output.
        log: where its output goes; thrown away when None.
    """
    child = os.fork()
    if child:
        return child
    status = CRASHED
    try:
        target = os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(target, 1)
        os.dup2(target, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        action()
        status = DONE
    except ScanError as error:
        print(f"error: {error}", file=sys.stderr)
        status = REFUSED
    except KeyboardInterrupt:
        status = INTERRUPTED
    except BaseException:
        traceback.print_exc()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def status_of(child: int, patience: float = 120.0) -> int:
    """Wait for a child; negative: the signal that killed it."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        done, code = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(code)
        time.sleep(0.002)
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise AssertionError(f"the process did not end within {patience:g} s")


def children_of(process: int) -> list[int]:
    """The direct children of a process."""
    words = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(word) for word in words]


def wait_for(happened: Callable[[], object], patience: float = 60.0) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + patience
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.002)


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[bool]:
    """A small file system of its own in a folder; gives False where nothing may be mounted."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield done
    finally:
        if done:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def limit_files(size: int) -> None:
    """Let no file of this process grow beyond a size, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
