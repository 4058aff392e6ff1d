"""The store: built from the released files, and left alone while they and it are the same."""

from __future__ import annotations

import fcntl
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scan_lightning.data.store import Store
from scan_lightning.errors import ScanError
from scan_lightning.reproduce.place import Place
from scan_lightning.reproduce.steps import COMMAND


def ensure_store(place: Place, data: Path) -> bool:
    """Build the store unless an intact one of the same files is there.

    Returns:
        Whether it was built.

    Raises:
        ScanError: the build failed; its own message is on the terminal.
    """
    place.work.mkdir(parents=True, exist_ok=True)
    note = place.work / "store.json"
    with _alone(place.work / "store.lock"):
        files = _fingerprint(data)
        if note.exists() and json.loads(note.read_text()) == files and _opens(place.store):
            return False
        note.unlink(missing_ok=True)
        words = ["data", "build", "--layout", "scan-release", "--root", str(data), "--out", str(place.store)]
        status = subprocess.run([*COMMAND, *words, "--overwrite"], check=False).returncode
        if status:
            raise ScanError(f"{place.store}: could not be built from {data} (status {status}, see above)")
        note.write_text(json.dumps(files, indent=1) + "\n")
        return True


def _fingerprint(data: Path) -> dict[str, list[int]]:
    """Size and time of each file of the data set: a change of either means another source."""
    found = sorted(path for ending in ("npy", "txt") for path in data.glob(f"*.{ending}"))
    return {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in found}


def _opens(path: Path) -> bool:
    try:
        Store(path)
    except ScanError:
        return False
    return True


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Wait until no other reproduction builds here."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
