"""Where a reproduction writes: big files below `outputs/`, small records below `experiments/`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scan_lightning.reproduce.tables import Protocol


@dataclass(frozen=True)
class Place:
    """The folders of one table.

    Args:
        work: the store, runs with their checkpoints, logs.
        records: results and, a folder a run, what is kept of it.
    """

    work: Path
    records: Path

    @classmethod
    def of(cls, table: str, *, dry: bool) -> Place:
        """The usual folders, from the current one."""
        if dry:
            work = Path("outputs", "reproduce-dry", table)
            return cls(work, work / "records")
        return cls(Path("outputs", "reproduce", table), Path("experiments", table))

    @property
    def store(self) -> Path:
        """The store made of the data, named after the table: a run's hash knows its store by this name."""
        return self.work / f"{self.work.name}.h5"

    def run(self, name: str, seed: int) -> Path:
        """The folder of a row's (or an ensemble's) run."""
        return self.work / "runs" / f"{name}-seed{seed}"

    def log(self, name: str, seed: int) -> Path:
        """What the run's commands print."""
        return self.work / "logs" / f"{name}-seed{seed}.log"

    def record(self, name: str, seed: int) -> Path:
        """The folder with what is kept of a run."""
        return self.records / "runs" / f"{name}-seed{seed}"


def evaluation_folder(protocol: Protocol) -> str:
    """The folder of a protocol's evaluation inside a run's."""
    return f"test_{protocol.name}"
