"""How fast a whole training is with torch's threads waiting busily or not, alone and beside busy processes.

Each run is `scan-lightning train` in a process of its own, timed by the rows of its metrics.csv, so with all
that is loaded, logged and computed between them, and ended before its validation. Settings are OpenMP's
environment variables; `default` is libgomp's own spin count. They are measured in turn, round after round,
each round in another order. Writes threads.json and prints the table.

    python benchmarks/threads.py --data flickr8k.h5             # half an hour
    python benchmarks/threads.py --steps 5 --warmup 2 --rounds 1  # a minute or two: only shows that it works
"""

import argparse
import datetime
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from measuring import machine
from scan_lightning.data.scenes.build import build_scenes

SETTINGS = {
    "default": {"GOMP_SPINCOUNT": "300000"},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "spin 300": {"GOMP_SPINCOUNT": "300"},
    "spin 1000": {"GOMP_SPINCOUNT": "1000"},
    "spin 3000": {"GOMP_SPINCOUNT": "3000"},
    "spin 10000": {"GOMP_SPINCOUNT": "10000"},
    "1 thread": {"OMP_NUM_THREADS": "1"},
}
RECIPE = ("model.embed_size=128", "data.batch_size=64", "trainer=cpu", "trainer.max_epochs=1000")
POLL_SECONDS = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="a store (default: built-in scenes)")
    parser.add_argument(
        "--out", type=Path, default=Path("outputs/benchmarks/threads"), help="folder for results"
    )
    parser.add_argument("--steps", type=int, default=80, help="timed; fewer than an epoch has")
    parser.add_argument("--warmup", type=int, default=20, help="steps before them")
    parser.add_argument(
        "--seconds", type=float, default=60, help="after which a slow run is ended, timed so far"
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs of each setting")
    parser.add_argument(
        "--busy", type=int, nargs="*", default=[0, 3], help="numbers of busy processes beside it"
    )
    parser.add_argument("--settings", nargs="*", choices=list(SETTINGS), default=list(SETTINGS))
    arguments = parser.parse_args()
    rates: dict[int, dict[str, list[float]]] = {
        busy: {name: [] for name in arguments.settings} for busy in arguments.busy
    }
    with tempfile.TemporaryDirectory() as scratch:
        data = arguments.data or Path(scratch, "scenes.h5")
        if arguments.data is None:
            build_scenes(data, images_dir=Path(scratch, "images"))
        for number in range(arguments.rounds):
            for busy in arguments.busy:
                with busy_processes(busy):
                    for name in random.Random(number).sample(arguments.settings, len(arguments.settings)):
                        run = Path(scratch, f"{name}-{busy}-{number}".replace(" ", "-"))
                        rates[busy][name].append(steps_per_second(data, run, SETTINGS[name], arguments))
                        print(f"round {number}, {busy} busy, {name}: {rates[busy][name][-1]:.2f}", flush=True)
    report = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(torch.device("cpu")),
        "torch": torch.__version__,
        "recipe": RECIPE,
        "data": str(arguments.data or "built-in scenes"),
        "steps": arguments.steps,
        "steps_per_second": [
            {"busy": busy, "setting": name, "median": statistics.median(found), "each": found}
            for busy, settings in rates.items()
            for name, found in settings.items()
        ],
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "threads.json").write_text(json.dumps(report, indent=2) + "\n")
    print(table(rates))


def steps_per_second(data: Path, run: Path, setting: dict[str, str], arguments: argparse.Namespace) -> float:
    """Steps a second of one training between its rows `warmup` and `warmup + steps` in metrics.csv."""
    free = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    words = [*RECIPE, f"data.path={data.resolve()}", f"run_dir={run}"]
    with (run.parent / f"{run.name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "scan_lightning", "--quiet", "train", *words],
            env={**free, **setting},
            stdout=log,
            stderr=log,
        )
        first: tuple[float, int] | None = None
        try:
            while True:
                time.sleep(POLL_SECONDS)
                if process.poll() is not None:
                    raise RuntimeError(Path(log.name).read_text())
                now, done = time.perf_counter(), _steps(run / "metrics.csv")
                if done < max(arguments.warmup, 1):
                    continue
                first = first or (now, done)
                count = done - first[1]
                if count >= arguments.steps or (now - first[0] > arguments.seconds and count):
                    return count / (now - first[0])
        finally:
            process.kill()
            process.wait()


def _steps(metrics: Path) -> int:
    return max(metrics.read_bytes().count(b"\n") - 1, 0) if metrics.exists() else 0


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Keep `count` other processes computing."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def table(rates: dict[int, dict[str, list[float]]]) -> str:
    """A Markdown table: a row a setting, a column a number of busy processes; median (least to most)."""
    lines = ["| steps a second | " + " | ".join(f"{busy} busy processes" for busy in rates) + " |"]
    lines.append("|---|" + "---|" * len(rates))
    for name in next(iter(rates.values())):
        found = [settings[name] for settings in rates.values()]
        cells = [f"{statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f})" for each in found]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
