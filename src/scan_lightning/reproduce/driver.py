"""The stages in order: the store, a sweep that trains the rows, the evaluations, the results.

The work is done by console commands, which skip what is finished and resume what was stopped.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from scan_lightning.cli import main as scan_lightning
from scan_lightning.errors import ScanError
from scan_lightning.files import write_text
from scan_lightning.reproduce.collected import collect
from scan_lightning.reproduce.data_files import check_files
from scan_lightning.reproduce.output import csv_text, json_text, markdown
from scan_lightning.reproduce.paper_tables import Table
from scan_lightning.reproduce.picture import draw
from scan_lightning.reproduce.recorded import Folders

SUBDIR = "hydra.sweep.subdir=${hydra.runtime.choices.experiment}-seed${seed}"


def ensure_store(table: Table, data: Path, store: Path) -> None:
    """Check the files in `data` and build the store, unless it is there and made of the same files.

    Raises:
        ScanError: a file is missing or wrong, or the build failed.
    """
    note, paths = store.with_suffix(".json"), sorted([*data.glob("*.npy"), *data.glob("*.txt")])
    files = {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in paths}
    if store.exists() and note.exists() and json.loads(note.read_text(encoding="utf-8")) == files:
        print(f"store: {store} is there", flush=True)
        return
    check_files(table, data)
    store.parent.mkdir(parents=True, exist_ok=True)
    note.unlink(missing_ok=True)
    words = ["--layout", "scan-release", "--root", str(data), "--out", str(store), "--overwrite"]
    status = command("data", "build", *words)
    if status:
        raise ScanError(f"{store}: could not be built from {data} (status {status}, see above)")
    note.write_text(json.dumps(files, indent=1) + "\n", encoding="utf-8")


def reproduce(
    table: Table, folders: Folders, names: Sequence[str], seeds: Sequence[int], jobs: int | None = None
) -> dict[str, int]:
    """Run what is not done of a table and write its results from all that is recorded so far.

    Args:
        table: what to reproduce; its store is built.
        folders: where to write.
        names: rows and ensembles to run.
        seeds: each row is trained with each.
        jobs: trainings at a time, by Hydra's joblib launcher; None: one after the other.

    Returns:
        What failed -> its status; the rest is done.

    Raises:
        KeyboardInterrupt: stopped; the same call resumes.
    """
    failed = _train(table, folders, [name for name in names if name not in table.ensembles], seeds, jobs)
    for name, seed in ((name, seed) for seed in seeds for name in names):
        not_trained = [failed.get(f"{row} seed {seed}", 0) for row in name.split("+")]
        status = max(not_trained) or _evaluate(table, folders, name, seed)
        if status:
            failed[f"{name} seed {seed}"] = status
        else:
            folders.record(name, seed)
    write_results(table, folders.records)
    return failed


def write_results(table: Table, records: Path) -> None:
    """Write results.csv, results.json, results.md and results.png from the records."""
    lines = collect(table, records)
    files = {"csv": csv_text(lines), "json": json_text(table, lines), "md": markdown(table, lines)}
    for suffix, text in files.items():
        write_text(records / f"results.{suffix}", text)
    draw(table, lines, records / "results")


def _train(
    table: Table, folders: Folders, rows: Sequence[str], seeds: Sequence[int], jobs: int | None
) -> dict[str, int]:
    """Train the rows as one sweep; what failed -> its status."""
    if not rows:
        return {}
    summary = folders.work / "runs" / "sweep.json"
    summary.unlink(missing_ok=True)
    words = [f"seed={','.join(map(str, seeds))}"]
    words += [f"experiment={','.join(f'{table.name}_{row}' for row in rows)}", *table.overrides]
    words += [f"data.path={_quoted(folders.store)}", f"run_dir={_quoted(summary.parent)}", SUBDIR]
    if jobs is not None:
        words += ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={jobs}"]
    status = command("train", "-m", *words)
    if not status:
        return {}
    jobs_done = json.loads(summary.read_text(encoding="utf-8")) if summary.exists() else []
    done = {job["job"] for job in jobs_done if job["status"] == "done"}
    runs = [(row, seed) for seed in seeds for row in rows if folders.run(row, seed).name not in done]
    return {f"{row} seed {seed}": status for row, seed in runs}


def _evaluate(table: Table, folders: Folders, name: str, seed: int) -> int:
    """Evaluate a row or an ensemble on test, as far as that is not done; the first status that is not 0."""
    best = [folders.run(row, seed) / "checkpoints" / "best.ckpt" for row in name.split("+")]
    paths = ",".join(map(_quoted, best))
    words = ["ensemble", f"checkpoints=[{paths}]"] if len(best) > 1 else ["evaluate", f"checkpoint={paths}"]
    words += [f"data.path={_quoted(folders.store)}", "split=test"]
    for protocol, folds in table.folds.items():
        out = folders.run(name, seed) / f"test_{protocol}"
        results = out / "results.json"
        if results.exists() and all(
            path.exists() and path.stat().st_mtime <= results.stat().st_mtime for path in best
        ):
            continue
        print(f"{name} seed {seed}: evaluating on test, protocol {protocol}", flush=True)
        status = command(*words, f"folds={folds}", f"run_dir={_quoted(out)}")
        if status:
            return status
    return 0


def command(*words: str) -> int:
    """Run `scan-lightning WORDS` in this process and return its status.

    Raises:
        KeyboardInterrupt: the command was interrupted.
    """
    status = scan_lightning(list(words))
    if status == 130:
        raise KeyboardInterrupt
    return status


def _quoted(value: Path) -> str:
    """A path as Hydra reads it back unchanged, whatever it holds."""
    escaped = str(value).replace('"', '\\"')
    return f'"{escaped}"'
