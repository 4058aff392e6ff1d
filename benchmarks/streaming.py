"""How fast random batches of region features come from a warm file, against the other ways to hold them.

One process and loader workers; float16 and float32, 36 regions and 10 to 100. Competitors read the same rows
in turn, so that the ratios stay right on a busy machine. With workers the store comes through the project's
loader, the others through a torch DataLoader of their own. Writes streaming.json and streaming.png and
prints the table.

    python benchmarks/streaming.py             # some minutes, needs about 4 GB on the disk and in memory
    python benchmarks/streaming.py --quick     # seconds, tiny sizes: only shows that it works
"""

import argparse
import datetime
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from measuring import Measured, compare, machine, ratio
from readers import Batch, CopyLoop, H5pyFancy, H5pySlices, Lmdb, NpyTake, StoreReader
from scan_lightning.data.items import Images
from scan_lightning.data.loading import BlockLoader
from scan_lightning.data.store import Store
from scan_lightning.data.writer import ImageRecord, write_store

DIM, BATCH = 2048, 128
CASES = (("float16", (36, 36)), ("float32", (36, 36)), ("float16", (10, 100)))
# A pass takes tens of milliseconds at least: shorter ones measure who else is on the machine.
FULL = {"images": 3000, "batches": 60, "worker_batches": 24, "workers": [0, 1, 2], "dim": DIM}
QUICK = {"images": 300, "batches": 3, "worker_batches": 3, "workers": [0, 1], "dim": 16}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=Path("outputs/benchmarks/streaming"), help="folder for results"
    )
    parser.add_argument("--scratch", type=Path, help="folder for the files read (default: a temporary one)")
    parser.add_argument(
        "--clock",
        choices=["wall", "cpu"],
        default="wall",
        help="cpu: ratios of processor seconds, for a machine shared with others (one process only)",
    )
    parser.add_argument("--rounds", type=int, default=7, help="timed passes of each competitor")
    parser.add_argument("--quick", action="store_true", help="tiny sizes")
    arguments = parser.parse_args()
    sizes = QUICK if arguments.quick else FULL
    report: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(torch.device("cpu")),
        "numpy": np.__version__,
        "clock": arguments.clock,
        "sizes": {**sizes, "batch": BATCH},
        "cases": [],
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    for dtype, regions in CASES:
        folder = Path(tempfile.mkdtemp(dir=arguments.scratch))
        try:
            readers = make_readers(folder, dtype, regions, sizes)
            for workers in sizes["workers"]:
                clock = "wall" if workers else arguments.clock
                rows = random_rows(sizes, workers)
                measured = measure(readers, workers, rows, arguments.rounds)
                case = as_case(dtype, regions, workers, clock, measured, rows.size)
                report["cases"].append(case)
                print(line(case), flush=True)
        finally:
            shutil.rmtree(folder)
        (arguments.out / "streaming.json").write_text(json.dumps(report, indent=1) + "\n")
    draw(report, arguments.out / "streaming.png")
    print(f"{report['machine']}, {report['date']}: {arguments.out / 'streaming.json'} and streaming.png")


def make_readers(folder: Path, dtype: str, regions: tuple[int, int], sizes: dict[str, Any]) -> dict[str, Any]:
    """Write the same random features in every form and open them."""
    rng = np.random.default_rng(0)
    counts = rng.integers(regions[0], regions[1] + 1, sizes["images"])
    noise = rng.standard_normal((regions[1] + 64, sizes["dim"])).astype(np.float32)

    def records() -> Iterator[ImageRecord]:
        for row, count in enumerate(counts.tolist()):
            start = row % 64
            yield ImageRecord(str(row), "train", 0, 0, noise[start : start + count], None, ["a caption"])

    path = folder / "store.h5"
    write_store(
        path,
        records(),
        source="benchmark",
        feature_dim=sizes["dim"],
        images=sizes["images"],
        regions=int(counts.sum()),
        dtype=dtype,
        progress=False,
    )
    store = Store(path)
    readers: dict[str, Any] = {
        "store": StoreReader(path),
        "NumPy memory map, copy loop": CopyLoop(path),
    }
    if regions[0] < regions[1]:
        readers["h5py, a slice an image"] = H5pySlices(path)
    else:
        H5pyFancy.write(folder / "features.h5", store)
        readers["h5py fancy index"] = H5pyFancy(folder / "features.h5")
        NpyTake.write(folder / "features.npy", store)
        readers[".npy memory map, np.take"] = NpyTake(folder / "features.npy")
    try:
        Lmdb.write(folder / "features.lmdb", store)
        readers["LMDB"] = Lmdb(folder / "features.lmdb", store)
    except ImportError:
        print("LMDB: not run (pip install lmdb)")
    rows = rng.integers(0, sizes["images"], BATCH)
    expected, expected_counts = store.read_regions(rows)
    for name, reader in readers.items():
        found, found_counts = reader.read(rows)
        assert np.array_equal(found, expected), name
        assert np.array_equal(found_counts, expected_counts), name
    return readers


class _Rows(Dataset[Batch]):
    """Hands a whole batch of rows to a reader, as the project's own loader does."""

    def __init__(self, reader: Any) -> None:
        self.reader = reader

    def __getitems__(self, rows: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        features, counts = self.reader.read(np.asarray(rows))
        return torch.from_numpy(features), torch.from_numpy(counts)


def random_rows(sizes: dict[str, Any], workers: int) -> np.ndarray:
    """(batches, BATCH) rows of images."""
    batches = sizes["worker_batches" if workers else "batches"]
    return np.random.default_rng(1).integers(0, sizes["images"], (batches, BATCH))


def measure(readers: dict[str, Any], workers: int, batches: np.ndarray, rounds: int) -> dict[str, Measured]:
    """Time a pass over the same random batches with every reader."""

    def one_pass(reader: Any) -> Callable[[], None]:
        def read_all() -> None:
            for rows in batches:
                reader.read(rows)  # dropped before the next but one, as training does

        if not workers:
            return read_all
        if isinstance(reader, StoreReader):
            ours = BlockLoader(Images(reader.store, batches.ravel()), BATCH, workers=workers)
            return lambda: [None for _ in ours] and None
        loader = DataLoader(
            _Rows(reader),
            batch_sampler=batches.tolist(),
            num_workers=workers,
            collate_fn=_as_is,
            persistent_workers=True,
        )
        return lambda: [None for _ in loader] and None

    passes = {name: one_pass(reader) for name, reader in readers.items()}
    return compare(passes, torch.device("cpu"), rounds, patience=40.0)


def _as_is(batch: Any) -> Any:
    return batch


def as_case(
    dtype: str,
    regions: tuple[int, int],
    workers: int,
    clock: str,
    measured: dict[str, Measured],
    records: int,
) -> dict[str, Any]:
    """Plain numbers: records a second at best, and how much faster the store is (above 1: the store)."""
    store = measured["store"]
    return {
        "dtype": dtype,
        "regions": list(regions),
        "workers": workers,
        "clock": clock,
        "records_per_second": {
            name: round(records / min(getattr(result, clock))) for name, result in measured.items()
        },
        "store_faster_by": {
            name: round(ratio(result, store, clock), 3)
            for name, result in measured.items()
            if name != "store"
        },
        "rounds": len(store.wall),
    }


def title(case: dict[str, Any]) -> str:
    """What was measured, in words."""
    low, high = case["regions"]
    span = f"{low}" if low == high else f"{low} to {high}"
    workers = "one process" if not case["workers"] else f"{case['workers']} worker(s)"
    return f"{case['dtype']}, {span} regions, {workers}"


def line(case: dict[str, Any]) -> str:
    """One case as text."""
    rates = case["records_per_second"]
    parts = [f"{title(case)}: store {rates['store']:,} records/s"]
    parts += [f"{name} {rates[name]:,} ({by:.2f}x)" for name, by in case["store_faster_by"].items()]
    return "; ".join(parts)


def draw(report: dict[str, Any], path: Path) -> None:
    """Bars of records a second, one panel a case."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    cases = report["cases"]
    columns = len(report["sizes"]["workers"])
    rows = -(-len(cases) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(5 * columns, 2.6 * rows), squeeze=False)
    for axis, case in zip(axes.flat, cases, strict=True):
        rates = case["records_per_second"]
        names = list(rates)[::-1]
        bars = axis.barh(names, [rates[name] for name in names], color="#9aa5b1")
        bars[-1].set_color("#1f6fb2")
        axis.bar_label(bars, labels=[f"{rates[name]:,}" for name in names], padding=3, fontsize=8)
        axis.set_title(title(case), fontsize=10)
        axis.set_xlim(0, max(rates.values()) * 1.25)
        axis.set_xticks([])  # the bars say their numbers
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right", "bottom"]].set_visible(False)
    figure.suptitle(
        f"Random batches of {report['sizes']['batch']} records of D {report['sizes']['dim']}, warm: "
        f"records a second\n{report['machine']}, {report['date']}",
        fontsize=11,
    )
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    main()
