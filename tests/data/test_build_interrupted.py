"""A build that is killed, interrupted, out of room or not alone never leaves a false store behind."""

import contextlib
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from store_help import fault_of, leftovers, make_records, write, write_release

from scan_lightning.data import atomic
from scan_lightning.data.check import check_store
from scan_lightning.data.store import Store
from scan_lightning.data.writer import ImageRecord
from scan_lightning.errors import ScanError

RECORDS = make_records(60, dim=256)


def _in_child(action: Callable[[], object]) -> int:
    """Fork, run, and give the child's process id; it ends with 0, or 7 after a ScanError."""
    child = os.fork()
    if child:
        return child
    status = 1
    with contextlib.suppress(BaseException):
        try:
            action()
            status = 0
        except ScanError:
            status = 7
    os._exit(status)


def _status(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_sigkill_at_twenty_moments_and_the_next_build_takes_over(tmp_path: Path) -> None:
    target = tmp_path / "s.h5"
    start = time.monotonic()
    write(tmp_path / "first.h5", RECORDS)
    whole = time.monotonic() - start
    generator = random.Random(0)
    killed = 0
    for _ in range(20):
        child = _in_child(lambda: write(target, RECORDS))
        time.sleep(generator.uniform(0, whole))
        os.kill(child, signal.SIGKILL)
        killed += _status(child) == -signal.SIGKILL
        if target.exists():  # only when the build was faster than the kill
            assert check_store(target, progress=False) == []
            target.unlink()
    assert killed > 0
    write(target, RECORDS)
    assert check_store(target, progress=False) == []
    assert leftovers(tmp_path) == ["first.h5", "s.h5"]


def test_sigkill_while_replacing_keeps_the_old_store(tmp_path: Path) -> None:
    target = write(tmp_path / "s.h5", make_records(5))
    before = target.read_bytes()
    for delay in (0.0, 0.005, 0.01, 0.02):
        child = _in_child(lambda: write(target, _endless()))
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        assert _status(child) == -signal.SIGKILL
        assert target.read_bytes() == before


class _endless(list[ImageRecord]):  # noqa: N801
    """Records that never come to an end, for a build that must be stopped."""

    def __init__(self) -> None:
        super().__init__(RECORDS)

    def __iter__(self) -> Iterator[ImageRecord]:
        yield from RECORDS[:30]
        time.sleep(60)


def test_ctrl_c_in_python_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> Iterator[ImageRecord]:
        yield from RECORDS[:30]
        raise KeyboardInterrupt

    class Records(list[ImageRecord]):
        def __iter__(self) -> Iterator[ImageRecord]:
            return interrupted()

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "s.h5", Records(RECORDS))
    assert leftovers(tmp_path) == []


def test_ctrl_c_on_the_command_line(tmp_path: Path) -> None:
    write_release(tmp_path / "data", {"train": 30_000}, regions=2, dim=4)
    (tmp_path / "out").mkdir()
    command = [sys.executable, "-m", "scan_lightning", "data", "build", "--layout", "scan-release"]
    command += ["--root", str(tmp_path / "data"), "--out", str(tmp_path / "out" / "s.h5")]
    build = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    partial = tmp_path / "out" / ".s.h5.partial"
    deadline = time.monotonic() + 120
    while not (partial.exists() and partial.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    build.send_signal(signal.SIGINT)
    _, errors = build.communicate(timeout=120)
    assert build.returncode == 130, errors
    assert "Traceback" not in errors
    assert leftovers(tmp_path / "out") == []


@pytest.fixture(params=["first-kilobytes", "features", "captions", "end"])
def room(request: pytest.FixtureRequest, tmp_path: Path) -> int:
    """Bytes that end within the named part of the file."""
    size = write(tmp_path / "whole.h5", RECORDS).stat().st_size
    return {"first-kilobytes": 4096, "features": size // 2, "captions": size - 60_000, "end": size - 4096}[
        request.param
    ]


def test_a_file_that_may_not_grow_is_one_message_and_no_crash(tmp_path: Path, room: int) -> None:
    folder = tmp_path / "out"
    folder.mkdir()

    def build() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        write(folder / "s.h5", RECORDS)

    assert _status(_in_child(build)) == 7
    assert leftovers(folder) == []


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system of `size` bytes; where nothing may be mounted, a limit on the size of files."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        if not mounted:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        yield folder
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()


def test_a_full_disk_is_one_message_at_every_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = write(tmp_path / "whole.h5", RECORDS).stat().st_size
    monkeypatch.setattr(atomic, "_refuse_full", lambda target, needed: None)  # as if the room went later
    for part in range(1, 10):
        with small_disk(tmp_path / "disk", size * part // 10 // 4096 * 4096) as disk:
            message = fault_of(lambda disk=disk: write(disk / "s.h5", RECORDS))
            assert "no space left" in message or "File too large" in message
            assert leftovers(disk) == []
            assert (
                _status(_in_child(lambda disk=disk: write(disk / "s.h5", RECORDS))) == 7
            )  # and no crash at exit


def test_a_disk_that_is_too_small_is_noticed_at_the_start(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 65536) as disk:
        message = fault_of(lambda: write(disk / "s.h5", RECORDS))
        assert "GB" in message or "File too large" in message
        assert leftovers(disk) == []


def _held_build(
    target: Path, started: "multiprocessing.synchronize.Event", go: "multiprocessing.synchronize.Event"
) -> None:
    class Records(list[ImageRecord]):
        def __iter__(self) -> Iterator[ImageRecord]:
            started.set()
            assert go.wait(60)
            return super().__iter__()

    write(target, Records(RECORDS))


def test_two_builds_of_one_target(tmp_path: Path) -> None:
    target = tmp_path / "s.h5"
    context = multiprocessing.get_context("fork")
    started, go = context.Event(), context.Event()
    first = context.Process(target=_held_build, args=(target, started, go))
    first.start()
    assert started.wait(60)
    message = fault_of(lambda: write(target, RECORDS[:5]))
    assert "another process is writing" in message
    go.set()
    first.join(60)
    assert first.exitcode == 0
    assert Store(target).image_count == 60
    assert check_store(target, progress=False) == []
    assert leftovers(tmp_path) == ["s.h5"]


def test_a_lock_on_a_file_that_was_renamed_meanwhile_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second build opened the temporary file just before the first one renamed it."""
    target = tmp_path / "s.h5"
    lock, calls = atomic._flock, []

    def renamed_first(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 1:
            (tmp_path / ".s.h5.partial").rename(target)
            target.write_bytes(b"the first build's store")
        lock(handle)

    monkeypatch.setattr(atomic, "_flock", renamed_first)
    with atomic.atomic_file(target, overwrite=True) as partial:
        assert target.read_bytes() == b"the first build's store"
        partial.write_bytes(b"new")
    assert target.read_bytes() == b"new"
    assert len(calls) == 2
