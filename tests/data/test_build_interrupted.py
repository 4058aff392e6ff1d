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
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
from store_help import fault_of, leftovers, make_records, write, write_release

from scan_lightning import files
from scan_lightning.data import hdf5_file
from scan_lightning.data.check import check_store
from scan_lightning.data.store import Store
from scan_lightning.data.writer import ImageRecord, write_store
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


@pytest.mark.fault(
    "SIGKILL at 20 random moments of a build",
    "no store under the name, or a whole one when the build was faster; the next build takes over what "
    "was left",
)
def test_sigkill_at_twenty_moments_and_the_next_build_takes_over(tmp_path: Path) -> None:
    target = tmp_path / "s.h5"
    write(tmp_path / "first.h5", RECORDS)  # loads spaCy
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


@pytest.mark.fault(
    "SIGKILL of a build that replaces a store",
    "the old store is there, byte for byte",
)
def test_sigkill_while_replacing_keeps_the_old_store(tmp_path: Path) -> None:
    target = write(tmp_path / "s.h5", make_records(5))
    before = target.read_bytes()
    for delay in (0.0, 0.01, 0.1, 0.5):
        child = _in_child(lambda: _build(target, _never_ending()))
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        assert _status(child) == -signal.SIGKILL
        assert target.read_bytes() == before


def _build(target: Path, records: Iterable[ImageRecord]) -> None:
    """Write records that are as many as RECORDS, from any iterable."""
    regions = sum(len(record.features) for record in RECORDS)
    write_store(
        target,
        records,
        source="test",
        feature_dim=256,
        images=len(RECORDS),
        regions=regions,
        progress=False,
    )


def _never_ending() -> Iterator[ImageRecord]:
    yield from RECORDS[:30]
    time.sleep(600)


def test_ctrl_c_in_python_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> Iterator[ImageRecord]:
        yield from RECORDS[:30]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _build(tmp_path / "s.h5", interrupted())
    assert leftovers(tmp_path) == []


@pytest.mark.fault(
    "Ctrl-C during `data build`",
    "status 130, nothing left behind",
)
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


@pytest.fixture
def like_a_large_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of a large store are not reserved, so the disk can fill up in the midst of them."""
    monkeypatch.setattr(hdf5_file, "_LARGE", 0)
    monkeypatch.setattr(hdf5_file, "STRUCTURES", 200_000)
    monkeypatch.setattr(files, "_refuse_full", lambda target, needed: None)  # as if the room went later


@pytest.mark.usefixtures("like_a_large_store")
def test_a_file_that_may_not_grow_is_one_message_and_no_crash(tmp_path: Path) -> None:
    size = write(tmp_path / "whole.h5", RECORDS).stat().st_size
    folder = tmp_path / "out"
    folder.mkdir()
    built = 0
    for room in range(0, size + 250_000, 25_000):

        def build(room: int = room) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
            write(folder / "s.h5", RECORDS)

        status = _status(_in_child(build))
        assert status in (0, 7), room
        assert leftovers(folder) == (["s.h5"] if status == 0 else [])
        if status == 0:
            assert check_store(folder / "s.h5", progress=False) == []
            (folder / "s.h5").unlink()
            built += 1
    assert built


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


@pytest.mark.usefixtures("like_a_large_store")
@pytest.mark.fault(
    "a disk of any size that is full during a build (also as a limit on the size of files)",
    "one message that names the file and the free room, nothing left behind",
)
def test_a_full_disk_is_one_message_at_every_size(tmp_path: Path) -> None:
    size = write(tmp_path / "whole.h5", RECORDS).stat().st_size + 150_000
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
        assert "but the disk has " in message or "File too large" in message
        assert leftovers(disk) == []


def _held_build(target: Path, started: Event, go: Event) -> None:
    def records() -> Iterator[ImageRecord]:
        started.set()
        assert go.wait(60)
        yield from RECORDS

    _build(target, records())


@pytest.mark.fault(
    "two builds into one target at once",
    "the second is refused in one message, the first ends well",
)
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
    lock, calls = files._flock, []

    def renamed_first(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 1:
            (tmp_path / ".s.h5.partial").rename(target)
            target.write_bytes(b"the first build's store")
        lock(handle)

    monkeypatch.setattr(files, "_flock", renamed_first)
    with files.atomic_file(target) as partial:
        assert target.read_bytes() == b"the first build's store"
        partial.write_bytes(b"new")
    assert target.read_bytes() == b"new"
    assert len(calls) == 2
