"""Runs as a report sees them: what lies in their folders, and where their model and data are."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scan_lightning.config.run_hash import WITHOUT_EFFECT, WITHOUT_EFFECT_SECTIONS
from scan_lightning.errors import ScanError
from scan_lightning.flatten import flatten
from scan_lightning.report.training_curve import Curves, read_curves
from scan_lightning.retrieval.queries import FILE, Queries, read_queries

RECORD = "run.json"
NOT_METHOD = ("data.path", *WITHOUT_EFFECT, *WITHOUT_EFFECT_SECTIONS)  # keys that never tell runs apart
SPLITS = {"train", "val", "test"}


@dataclass(frozen=True)
class Run:
    """A run's folder."""

    name: str  # the end of its path that no other run shares
    folder: Path  # of the run
    record: dict[str, Any]  # run.json
    # the model's training configuration under dotted keys; empty when it is not at hand
    settings: dict[str, Any]
    results: dict[str, Any] | None  # results.json; None when the run has none yet
    queries: Queries | None  # every query's rank; None when the run did not keep them
    home: Path | None  # the folder of the training its model comes from; None for ensembles
    curves: Curves | None  # of that training
    checkpoint: Path | None  # the model; None when there is none, or several
    store: Path | None  # the data, None when it is not at hand

    @property
    def rsum(self) -> float:
        """The recall sum, 0 without results."""
        return float(self.results["rsum"]) if self.results else 0.0


def read_runs(paths: Sequence[Path]) -> list[Run]:
    """Read runs; a folder with runs in its subfolders, as a sweep's, stands for all of them.

    Raises:
        ScanError: a folder is missing, is no run and holds none, or a file in it is damaged.
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
    return [_read_run(folder, name) for folder, name in zip(folders, names, strict=True)]


def one_each(runs: Sequence[Run], *, evaluated: bool) -> list[Run]:
    """Return one run for each training: the training itself or, where it was given, an evaluation of it."""
    chosen: dict[Path, Run] = {}
    for run in runs:
        before = chosen.get(run.home or run.folder)
        if before is None or (before.record.get("command") == "train") == evaluated:
            chosen[run.home or run.folder] = run
    return [run for run in runs if run in chosen.values()]


def groups(runs: Sequence[Run]) -> list[list[Run]]:
    """Group runs with results by split and number of images: only those of one group can be compared."""
    found: dict[tuple[Any, Any], list[Run]] = {}
    for run in runs:
        if run.results is not None:
            found.setdefault((run.results["split"], run.results["images"]), []).append(run)
    return list(found.values())


def comparable(runs: Sequence[Run]) -> list[Run]:
    """Return the largest group of runs whose settings are known."""
    return max(groups([run for run in runs if run.settings]), key=len, default=[])


def swept_keys(runs: Sequence[Run]) -> list[str]:
    """Return the settings of the method in which runs differ; those with most values first."""
    values: dict[str, set[str]] = {}
    for run in runs:
        for key, value in run.settings.items():  # a key that an older run does not have is no difference
            if not key.startswith(NOT_METHOD):
                values.setdefault(key, set()).add(str(value))
    return sorted((key for key in values if len(values[key]) > 1), key=lambda key: -len(values[key]))


def _run_folders(path: Path) -> list[Path]:
    if not path.is_dir():
        raise ScanError(f"{path}: there is no such folder; expected a run's, such as outputs/train/RUN")
    if (path / RECORD).exists():
        return [path]
    folders = sorted(filter(Path.is_dir, path.iterdir()), key=_natural_order)
    return [found for folder in folders for found in _run_folders(folder)]


def _natural_order(path: Path) -> list[tuple[int, str]]:
    """Sort smoothing-4 before smoothing-20."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]


def _names(folders: Sequence[Path]) -> list[str]:
    for length in range(1, max(len(folder.parts) for folder in folders) + 1):
        ends = ["/".join(folder.parts[-length:]) for folder in folders]
        # The name of a split alone, as of a demo's evaluation, would say nothing.
        names = [
            "/".join(folder.parts[-2:]) if end in SPLITS else end
            for end, folder in zip(ends, folders, strict=True)
        ]
        if len(set(names)) == len(names):
            return names
    return [str(folder) for folder in folders]


def _read_run(folder: Path, name: str) -> Run:
    record = _read(folder / RECORD, json.loads)
    data, trained = record.get("data"), record.get("command") == "train"
    checkpoint = folder / "checkpoints" / "best.ckpt" if trained else record.get("checkpoint")
    checkpoint = _located(folder, checkpoint)
    home = folder if trained else checkpoint.parent.parent if checkpoint else None
    settings: dict[str, Any] = {}
    curves = None
    if home is not None:
        settings = (
            flatten(_read(home / "config.yaml", yaml.safe_load)) if (home / "config.yaml").exists() else {}
        )
        curves = read_curves(home / "metrics.csv") if _has_steps(home / "metrics.csv") else None
    return Run(
        name=name,
        folder=folder,
        record=record,
        settings=settings,
        results=_read(folder / "results.json", json.loads) if (folder / "results.json").exists() else None,
        queries=read_queries(folder) if (folder / FILE).exists() else None,
        home=None if home is None else home.resolve(),
        curves=curves,
        checkpoint=checkpoint,
        store=_located(folder, data.get("path") if isinstance(data, dict) else data),
    )


def _located(folder: Path, path: Any) -> Path | None:
    """Return a recorded path, as it is or relative to a folder above the run, which may have been moved."""
    if not isinstance(path, str | Path):
        return None
    places = [Path(path), *(above / path for above in folder.resolve().parents)]
    return next((place for place in places if place.is_file()), None)


def _has_steps(metrics: Path) -> bool:
    """Whether the file exists and has a row below its heading."""
    if not metrics.exists():
        return False
    with metrics.open(encoding="utf-8", errors="replace") as file:
        return bool(next(file, "") and next(file, ""))


def _read(path: Path, parse: Callable[[str], Any]) -> dict[str, Any]:
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ScanError(f"{path}: is damaged ({error}); run the job again") from error
    if not isinstance(content, dict):
        raise ScanError(f"{path}: is damaged (no mapping in it); run the job again")
    return content
