"""What is kept of a run: small files that go into version control, beside the table they stand behind."""

from __future__ import annotations

import shutil
from pathlib import Path

from scan_lightning.reproduce.curve import write_epochs

KEPT = ("config.yaml", "run.json", "results.json")


def record_run(run: Path, record: Path) -> None:
    """Copy the configuration, the run's record and its results, those of evaluations too; no checkpoint.

    Args:
        run: a run's folder below `outputs/`, or an ensemble's, which holds evaluations only.
        record: the folder below `experiments/`; made, and replaced when it is there.
    """
    fresh = record.with_name(record.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for source in [run, *sorted(run.glob("test_*"))]:
        for name in KEPT:
            if (source / name).exists():
                target = fresh / source.relative_to(run)
                target.mkdir(exist_ok=True)
                (target / name).write_text(_portable((source / name).read_text(encoding="utf-8")))
    if (run / "metrics.csv").exists():
        write_epochs(run / "metrics.csv", fresh / "epochs.csv")
    shutil.rmtree(record, ignore_errors=True)
    fresh.rename(record)


def _portable(text: str) -> str:
    """Paths below the current folder made relative: a record says nothing about the machine's folders."""
    return text.replace(f"{Path.cwd()}/", "")
