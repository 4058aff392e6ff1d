"""metrics.csv: a row every optimizer step and every validation, without gap or double after any resume."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from scan_lightning.errors import ScanError
from scan_lightning.files import write_error, write_text

RECALLS = tuple(
    f"val/{side}/{name}" for side in ("i2t", "t2i") for name in ("r1", "r5", "r10", "medr", "meanr")
)
SPEED = ("train/pairs_per_second", "train/memory_gib")
STEP = ("train/loss", "train/pairs", "train/lr", "train/grad_norm")
COLUMNS = ("step", "epoch", *STEP, *SPEED, *RECALLS, "val/rsum")


class Series:
    """Appends rows to a run's metrics.csv.

    How many rows there are is part of every checkpoint; a resumed run cuts the file back to that many.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = 0
        self._file: TextIO | None = None

    def start(self) -> None:
        """Begin an empty file, whatever a failed start left there."""
        self._open(",".join(COLUMNS) + "\n", rows=0)

    def resume(self, rows: int, source: Path) -> None:
        """Go on after the first `rows` rows of an earlier file; later ones are computed again.

        Args:
            rows: rows written when the checkpoint was saved.
            source: the earlier file, this one or that of the run the checkpoint came from; when it is missing
                the series starts here.

        Raises:
            ScanError: the file has been shortened or is not a metrics.csv.
        """
        if not source.exists():
            self.start()
            return
        lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
        if not lines or lines[0].strip() != ",".join(COLUMNS):
            raise ScanError(
                f"{source}: the first line is not that of a metrics.csv of this version. Move the file away "
                "to start a new series, or resume with the version that wrote it."
            )
        kept = lines[1 : rows + 1]
        if len(kept) < rows:
            raise ScanError(
                f"{source}: {len(kept)} rows, but {rows} were written when the checkpoint was saved. "
                "Restore the file, or move it away to start a new series."
            )
        self._open("".join([lines[0], *kept]), rows)

    def append(self, row: Mapping[str, float | int]) -> None:
        """Write one row; columns without a value stay empty."""
        assert self._file is not None
        try:
            csv.DictWriter(self._file, COLUMNS, lineterminator="\n").writerow(row)
        except OSError as error:
            raise write_error(self.path, error) from error
        self.rows += 1

    def flush(self, *, durable: bool = False) -> None:
        """Hand the rows to the system, or, when durable, to the disk."""
        if self._file is None:
            return
        try:
            self._file.flush()
            if durable:
                os.fsync(self._file.fileno())
        except OSError as error:
            raise write_error(self.path, error) from error

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _open(self, text: str, rows: int) -> None:
        write_text(self.path, text)
        self._file = self.path.open("a", encoding="utf-8", newline="")
        self.rows = rows
