"""The sweep study: what the smoothing of the attention does, on the built-in scenes.

`python -m scan_lightning.reproduce.smoothing` runs the grid smoothing x direction x aggregation and a line of
smoothings at t2i mean, as the sweeps of `conf/sweep/`, and writes `experiments/smoothing/`. Jobs that are
finished are skipped.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import yaml

from scan_lightning.data.scenes.build import build_scenes
from scan_lightning.reproduce.heat_map import draw
from scan_lightning.reproduce.record import record_run
from scan_lightning.reproduce.steps import COMMAND, quoted

WORK, RECORDS = Path("outputs", "smoothing"), Path("experiments", "smoothing")
SHARED = ("experiment=demo_scenes", "seed=0")
# attention=... sets what the sweep leaves alone: lambda_2 is 6 everywhere.
SWEEPS = {"grid": ("sweep=full", "attention=t2i_lse"), "line": ("sweep=smoothing", "attention=t2i_mean")}


@dataclass(frozen=True)
class Point:
    """One run of the study; recalls are percent, of the best epoch on val."""

    sweep: str
    direction: str
    aggregation: str
    smoothing: float
    seed: int
    i2t_r1: float
    i2t_r5: float
    i2t_r10: float
    t2i_r1: float
    t2i_r5: float
    t2i_r10: float
    rsum: float
    config_hash: str
    commit: str
    wall_seconds: float
    run: str


def main(argv: Sequence[str] | None = None) -> int:
    """Run both sweeps and write the records; the status of the first sweep that failed, or 0."""
    parser = argparse.ArgumentParser(prog="python -m scan_lightning.reproduce.smoothing", description=__doc__)
    parser.parse_args(argv)
    store = WORK / "scenes.h5"
    if not store.exists():
        build_scenes(store, images_dir=WORK / "images")
    for name, words in SWEEPS.items():
        common = (*SHARED, f"data.path={quoted(store)}", f"run_dir={quoted(WORK / name)}")
        status = subprocess.run([*COMMAND, "train", "-m", *words, *common], check=False).returncode
        if status:
            return status
    points = collect(WORK)
    RECORDS.mkdir(parents=True, exist_ok=True)
    for point in points:
        record_run(WORK / point.run, RECORDS / "runs" / point.run)
    write_csv(points, RECORDS / "results.csv")
    draw(points, RECORDS / "smoothing.png")
    print(f"{len(points)} runs: {RECORDS}/results.csv, {RECORDS}/smoothing.png")
    return 0


def collect(work: Path) -> list[Point]:
    """The finished runs below `work`, sorted by sweep, direction, aggregation and smoothing."""
    points = []
    for results in work.glob("*/*/results.json"):
        folder = results.parent
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        found, about = (json.loads((folder / name).read_text()) for name in ("results.json", "run.json"))
        attention = config["attention"]
        recalls = {
            f"{side}_{name}": found[side][name] for side in ("i2t", "t2i") for name in ("r1", "r5", "r10")
        }
        points.append(
            Point(
                sweep=folder.parent.name,
                direction=attention["direction"],
                aggregation=attention["aggregation"],
                smoothing=float(attention["smoothing"]),
                seed=config["seed"],
                rsum=found["rsum"],
                config_hash=about["config_hash"],
                commit=about["commit"] or "",
                wall_seconds=about["wall_seconds"],
                run=str(folder.relative_to(work)),
                **recalls,
            )
        )
    return sorted(
        points, key=lambda point: (point.sweep, point.direction, point.aggregation, point.smoothing)
    )


def write_csv(points: Sequence[Point], path: Path) -> None:
    """One line a run."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Point)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {
                name: f"{value:.2f}" if isinstance(value, float) else value
                for name, value in asdict(point).items()
            }
            for point in points
        )


if __name__ == "__main__":
    sys.exit(main())
