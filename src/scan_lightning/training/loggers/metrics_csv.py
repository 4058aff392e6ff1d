"""metrics.csv: a row every optimizer step and every validation, without gaps or repeats after a resume."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import Logger

from scan_lightning.errors import ScanError
from scan_lightning.files import write_error, write_text

FIGURES = tuple(f"{side}/{name}" for side in ("i2t", "t2i") for name in ("r1", "r5", "r10", "medr", "meanr"))
TRAIN = tuple(
    f"train/{name}" for name in ("loss", "pairs", "lr", "grad_norm", "pairs_per_second", "memory_gib")
)
COLUMNS = (
    "step",
    "epoch",
    *TRAIN,
    *(f"val/{name}" for name in FIGURES),
    "val/images",
    "val/captions",
    "val/rsum",
)
INTEGERS = ("step", "epoch", "train/pairs", "val/images", "val/captions")


class MetricsCSV(Logger):
    """Writes what is logged in `fit` to one CSV file; other names than `COLUMNS` become columns at its end.

    Args:
        folder: of metrics.csv.
        resume_step: the optimizer step of the checkpoint that a run resumes from: later rows of the file are
            computed again. None: a new file.
        source: the file to resume, when it is another one.
        every: steps between two rows, the Trainer's `log_every_n_steps`.

    Raises:
        ScanError: the file to resume is shorter than the checkpoint says, or is no metrics.csv.
    """

    def __init__(
        self,
        folder: str | Path,
        resume_step: int | None = None,
        source: Path | None = None,
        every: int = 1,
    ) -> None:
        super().__init__()
        self.path = Path(folder) / "metrics.csv"
        self._resume_step, self._source, self._every = resume_step, source or self.path, every
        self._columns = list(COLUMNS)
        self._last: tuple[int, bool] = (-1, False)
        self._waiting: dict[str, Any] = {}
        self._file: FileIO | None = None
        self._begun = False

    @property
    def name(self) -> str:
        """Of the logger."""
        return "metrics.csv"

    @property
    def version(self) -> str:
        """There is one file a folder."""
        return ""

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: a table has no place for them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Write a row.

        Args:
            metrics: of a step or of a validation; others wait for the row of their step.
            step: the optimizer step, as the module logs it.
        """
        number = int(step or 0)
        validated = "val/rsum" in metrics
        row = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
        if not validated and "train/loss" not in row:
            self._waiting.update(row)
            return
        if not validated:
            row, self._waiting = {**self._waiting, **row}, {}
        if not self._begun:
            self.begin()
        key = (number, validated)
        if key > self._last:  # else written before the run was resumed
            self._last = key
            self._write({**row, "step": number})

    def begin(self) -> None:
        """Begin the file, cut back to what the checkpoint knows of; what may be refused is refused here."""
        self._begun = True
        text = ",".join(COLUMNS) + "\n"
        if self._resume_step is not None and self._source.exists():
            text = self._kept(self._resume_step)
        write_text(self.path, text)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _kept(self, step: int) -> str:
        text = self._source.read_text(encoding="utf-8", errors="replace")
        text = text[: text.rfind("\n") + 1]  # a full disk may have left a part of a row
        reader = csv.DictReader(io.StringIO(text, newline=""))
        names = list(reader.fieldnames or [])
        if names[: len(COLUMNS)] != list(COLUMNS):
            raise ScanError(
                f"{self._source}: the first line is not that of a metrics.csv of this version. Move the "
                "file away to start a new series, or resume with the version that wrote it."
            )
        try:
            rows = [row for row in reader if _step(row) <= step]
        except (ValueError, csv.Error) as error:
            raise ScanError(f"{self._source}: line {reader.line_num} is damaged ({error})") from error
        end = max((_step(row) for row in rows if row["train/loss"]), default=0)
        if end + self._every <= step:
            raise ScanError(
                f"{self._source}: it ends at step {end}, but the checkpoint is of step {step}. "
                "Restore the file, or move it away to start a new series."
            )
        self._columns = names
        if rows:
            self._last = (int(rows[-1]["step"]), bool(rows[-1]["val/rsum"]))
        return _text(names, rows)

    def _write(self, row: Mapping[str, Any]) -> None:
        new = [name for name in row if name not in self._columns]
        try:
            if new:
                self._add_columns(new)
            if self._file is None:
                self._file = self.path.open("ab", buffering=0)
            values = {name: _shown(name, value) for name, value in row.items()}
            line = _text(self._columns, [values]).partition("\n")[2].encode()
            while line:  # unbuffered: what could not be written is not tried again when the file is closed
                line = line[self._file.write(line) :]
        except OSError as error:
            raise write_error(self.path, error) from error

    def _add_columns(self, names: list[str]) -> None:
        self.finalize("")
        with self.path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        self._columns += names
        write_text(self.path, _text(self._columns, rows))


def _text(columns: list[str], rows: list[dict[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _step(row: Mapping[Any, Any]) -> int:
    if None in row or None in row.values():
        raise ValueError("another number of values")
    return int(row["step"])


def _shown(name: str, value: float) -> str:
    """A number as it was logged: recalls are fp64, of the others Lightning keeps fp32."""
    if name in INTEGERS:
        return str(int(value))
    return repr(float(value)) if name.startswith("val/") else str(np.float32(value))
