"""The folders of a run or a sweep: made before it starts, taken away again when nothing came of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from scan_lightning.errors import ScanError


@contextmanager
def run_folders(folder: Path, jobs: Sequence[Path] = ()) -> Iterator[None]:
    """Make a run's folder; when the block fails, remove what was not there before and is still empty.

    Hydra makes a job's folder before the job can check anything, so a refused one has to be taken away.

    Args:
        folder: of the run, or of the whole sweep.
        jobs: folders below it that a sweep will make.

    Raises:
        ScanError: it cannot be made.
    """
    paths = [path.absolute() for path in (*jobs, folder)]
    places = {place for path in paths for place in (path, *path.parents)}
    new = [place for place in places if not os.path.lexists(place)]
    try:
        _make(folder)
        yield
    except BaseException:
        for place in sorted(new, key=lambda place: -len(place.parts)):
            with suppress(OSError):  # not empty, or not made after all
                place.rmdir()
        raise


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ScanError(
            f"run_dir: {folder} cannot be made ({error.strerror}); choose another run_dir"
        ) from error
