"""Runs as a report sees them: what lies in their folders, and where their model and data are."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scan_lightning.errors import ScanError
from scan_lightning.report.figures import Curves, read_curves
from scan_lightning.retrieval.queries import FILE, Queries, read_queries
from scan_lightning.config.run_hash import WITHOUT_EFFECT, WITHOUT_EFFECT_SECTIONS

RECORD = "run.json"


@dataclass(frozen=True)
class Run:
    """A run's folder.

    Attributes:
        name: What to call it: the end of its path that no other run shares.
        folder: Of the run.
        record: run.json.
        settings: The model's training configuration as plain values; empty when it is not at hand.
        results: results.json; None when the run has none yet.
        queries: Every query's rank; None when the run did not keep them.
        home: The folder of the training its model comes from; None for ensembles.
        curves: Of that training.
        checkpoint: The model; None when there is none, or several.
        store: The data, None when it is not at hand.
    """

    name: str
    folder: Path
    record: dict[str, Any]
    settings: dict[str, Any]
    results: dict[str, Any] | None
    queries: Queries | None
    home: Path | None
    curves: Curves | None
    checkpoint: Path | None
    store: Path | None


def read_runs(paths: Sequence[Path]) -> list[Run]:
    """Reads runs; a folder that holds runs in its subfolders, as a sweep's does, stands for all of them.

    Args:
        paths: Folders of `train`, `evaluate` and `ensemble`.

    Raises:
        ScanError: A folder is missing, is no run and holds none, or a file in it is damaged.
    """
    folders: list[Path] = []
    for path in paths:
        found = _run_folders(path)
        if not found:
            raise ScanError(
                f"{path}: is no run: there is no {RECORD} in it or below it. Expected a folder that "
                "`scan-lightning train`, `evaluate` or `ensemble` wrote, or the folder of a sweep."
            )
        folders += [folder for folder in found if folder not in folders]
    names = _names([folder.resolve() for folder in folders])
    return [_read(folder, name) for folder, name in zip(folders, names, strict=True)]


def one_each(runs: Sequence[Run], *, evaluated: bool) -> list[Run]:
    """One run for each training, where an evaluation of it was given too.

    Args:
        runs: Of any kind.
        evaluated: Take the evaluation rather than the training.
    """
    chosen: dict[Path, Run] = {}
    for run in runs:
        before = chosen.get(run.home or run.folder)
        if before is None or (before.record.get("command") == "train") == evaluated:
            chosen[run.home or run.folder] = run
    return [run for run in runs if run in chosen.values()]


def comparable(runs: Sequence[Run]) -> list[Run]:
    """Those with results on the same queries: of several splits or sizes the one most runs have."""
    groups: dict[tuple[Any, Any], list[Run]] = {}
    for run in runs:
        if run.results is not None and run.settings:
            groups.setdefault((run.results["split"], run.results["images"]), []).append(run)
    return max(groups.values(), key=len, default=[])


def swept_keys(runs: Sequence[Run]) -> list[str]:
    """The settings of the method in which runs differ, dotted; those with most values first."""
    tables = [flat(run.settings) for run in runs if run.settings]
    keys = dict.fromkeys(key for table in tables for key in table if not key.startswith(_NO_METHOD))
    # A key that an older run does not have yet is no difference.
    values = {key: {str(table[key]) for table in tables if key in table} for key in keys}
    return sorted((key for key in keys if len(values[key]) > 1), key=lambda key: -len(values[key]))


_NO_METHOD = ("data.path", *WITHOUT_EFFECT, *WITHOUT_EFFECT_SECTIONS)


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values under dotted keys."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        result |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return result


def _run_folders(path: Path) -> list[Path]:
    if not path.is_dir():
        raise ScanError(f"{path}: there is no such folder; expected a run's, such as outputs/train/RUN")
    if (path / RECORD).exists():
        return [path]
    return [
        found
        for child in sorted(path.iterdir(), key=_by_number)
        if child.is_dir()
        for found in _run_folders(child)
    ]


def _by_number(path: Path) -> list[tuple[int, str]]:
    """An order in which smoothing-4 comes before smoothing-20."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]


_SPLITS = {"train", "val", "test"}


def _names(folders: Sequence[Path]) -> list[str]:
    for length in range(1, max(len(folder.parts) for folder in folders) + 1):
        names = ["/".join(folder.parts[-length:]) for folder in folders]
        # "test" alone, the folder of a demo's evaluation, would say nothing.
        names = [
            "/".join(folder.parts[-2:]) if name in _SPLITS else name
            for name, folder in zip(names, folders, strict=True)
        ]
        if len(set(names)) == len(names):
            return names
    return [str(folder) for folder in folders]


def _read(folder: Path, name: str) -> Run:
    record = _json(folder / RECORD)
    results = _json(folder / "results.json") if (folder / "results.json").exists() else None
    queries = read_queries(folder) if (folder / FILE).exists() else None
    trained, store = _sources(folder, record)
    home = folder if record.get("command") == "train" else trained.parent.parent if trained else None
    home = None if home is None else home.resolve()
    settings: dict[str, Any] = {}
    curves = None
    if home is not None:
        settings = _yaml(home / "config.yaml") if (home / "config.yaml").exists() else {}
        metrics = home / "metrics.csv"
        curves = read_curves(metrics) if metrics.exists() and _has_steps(metrics) else None
    return Run(name, folder, record, settings, results, queries, home, curves, trained, store)


def _sources(folder: Path, record: dict[str, Any]) -> tuple[Path | None, Path | None]:
    """Where a run's checkpoint and store are now, if they are."""
    data = record.get("data")
    store = data.get("path") if isinstance(data, dict) else data
    checkpoint = record.get("checkpoint")
    if record.get("command") == "train":
        checkpoint = folder / "checkpoints" / "best.ckpt"
    return _located(folder, checkpoint), _located(folder, store)


def _located(folder: Path, path: Any) -> Path | None:
    """A recorded path, as it is or seen from a folder above the run: runs are moved and copied whole."""
    if not isinstance(path, str | Path):
        return None
    places = [Path(path), *(above / path for above in folder.resolve().parents)]
    return next((place for place in places if place.is_file()), None)


def _has_steps(metrics: Path) -> bool:
    with metrics.open(encoding="utf-8", errors="replace") as file:
        return sum(1 for _, _ in zip(range(2), file, strict=False)) == 2


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ScanError(f"{path}: is damaged ({error}); run the job again") from error
    if not isinstance(content, dict):
        raise ScanError(f"{path}: is damaged (no object in it); run the job again")
    return content


def _yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ScanError(f"{path}: is damaged ({error}); run the job again") from error
    return content if isinstance(content, dict) else {}
