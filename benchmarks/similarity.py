"""How fast the similarity engine is, and how much memory it takes, against four others.

Forward, training (loss, forward and backward) and evaluation, both directions. One run, competitors in
turn, so that the ratios stay right on a busy machine. Then the peak memory of whole training steps. Writes
similarity.json and similarity.png and prints the table.

    python benchmarks/similarity.py                          # about half an hour on 2 cores
    python benchmarks/similarity.py --quick                  # seconds, tiny sizes: only shows that it works
    python benchmarks/similarity.py --device cuda
"""

import argparse
import datetime
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

import loop_reference
from competitors import SHARD, Embeddings, batched, batched_bytes, embeddings
from measuring import compare, machine, ratio
from scan_lightning.similarity import Attention, similarity_matrix, triplet_loss
from scan_lightning.similarity.product import rows_times_rows
from training_step import training_step_bytes

RULES = (Attention("t2i", 9.0, lse_scale=6.0), Attention("i2t", 4.0, lse_scale=5.0))
FULL = {
    "dim": 1024,
    "batches": [32, 64, 128, 256, 512, 1024],
    "images": [500, 1000, 2000, 5000],
    "captions": 128,
    "steps": [128],
}
QUICK = {"dim": 32, "batches": [4, 8], "images": [12, 24], "captions": 8, "steps": [4]}
LOOP_LIMIT = 128  # the loop's time grows with the square of the batch
BATCHED_LIMIT = 3 * 2**30  # bytes; beyond, the batched form is "not run"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=Path("outputs/benchmarks/similarity"), help="folder for results"
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: torch's choice)")
    parser.add_argument(
        "--clock",
        choices=["wall", "cpu"],
        default="wall",
        help="cpu: processor seconds, for a machine shared with others (use --threads 1)",
    )
    parser.add_argument("--rounds", type=int, default=5, help="timed calls of each competitor")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds a case, after its first round")
    parser.add_argument("--quick", action="store_true", help="tiny sizes")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    sizes = QUICK if arguments.quick else FULL
    report: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(device),
        "torch": torch.__version__,
        "clock": arguments.clock,
        "sizes": {**sizes, "regions": 36, "words": [8, 20], "dtype": "float32"},
        "cases": [],
        "training_steps": [],
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    for *_, competitors, _ in cases({**QUICK, "images": []}, device):
        for call in competitors.values():
            call()  # so that the libraries' own first-use memory is not counted for the first case
    for mode, direction, size, competitors, scale in cases(sizes, device):
        measured = compare(competitors, device, arguments.rounds, arguments.patience, warm=True)
        case = {
            "mode": mode,
            "direction": direction,
            "size": size,
            "extrapolated_from_captions": scale,
            "measured": {name: result.as_dict() for name, result in measured.items()},
            "engine_faster_by": {
                name: ratio(result, measured["engine"], arguments.clock)
                for name, result in measured.items()
                if name != "engine"
            },
        }
        report["cases"].append(case)
        print(line(case, arguments.clock), flush=True)
        write(report, arguments.out)
    for batch in sizes["steps"]:
        for rule in RULES:
            needed = training_step_bytes(batch, sizes["dim"], rule, device)
            report["training_steps"].append(
                {"batch": batch, "direction": rule.direction, "peak_bytes": needed}
            )
            memory = "memory unknown" if needed is None else f"{needed / 2**20:.0f} MiB"
            print(f"whole step {rule.direction} {batch:5} | {memory} beyond the weights and Adam's state")
    write(report, arguments.out)
    from picture import draw  # matplotlib is slow to load and only needed here

    draw(report, arguments.out / "similarity.png")
    print(f"{report['machine']}, {report['date']}: {arguments.out / 'similarity.json'} and similarity.png")


def write(report: dict[str, Any], folder: Path) -> None:
    """Keep what has been measured so far."""
    (folder / "similarity.json").write_text(json.dumps(report, indent=1) + "\n")


Calls = dict[str, Callable[[], object]]


def cases(sizes: dict[str, Any], device: torch.device) -> Iterator[tuple[str, str, int, Calls, int | None]]:
    """Every case, its embeddings made when it is its turn."""
    for batch in sizes["batches"]:
        data = embeddings(batch, batch, sizes["dim"], device)
        for rule in RULES:
            yield "forward", rule.direction, batch, forward(data, rule, batch <= LOOP_LIMIT), None
        for rule in RULES:
            yield "training", rule.direction, batch, training(data, rule, batch <= LOOP_LIMIT), None
    for images in sizes["images"]:
        data = embeddings(images, sizes["captions"], sizes["dim"], device)
        for rule in RULES:
            yield "evaluation", rule.direction, images, evaluation(data, rule), sizes["captions"]


def forward(data: Embeddings, rule: Attention, loop: bool) -> Calls:
    """Scores of all images and captions, no gradient."""
    counts = {"word_counts": data.word_counts}
    flat_ND = data.packed_words()
    found: Calls = {
        "engine": lambda: similarity_matrix(data.regions, data.words, rule, **counts),
        "product": lambda: rows_times_rows(flat_ND, data.regions.flatten(0, 1)),
        "matmul": lambda: flat_ND @ data.regions.flatten(0, 1).T,
    }
    if loop:
        found["loop"] = lambda: loop_reference.similarity_matrix(data.regions, data.words, rule, **counts)
    if batched_bytes(data, rule, training=False) < BATCHED_LIMIT:
        found["batched"] = lambda: batched(data, data.regions, data.words, rule)
    return found


def training(data: Embeddings, rule: Attention, loop: bool) -> Calls:
    """Hardest-negative loss and its gradient."""
    counts = {"word_counts": data.word_counts}

    def step(loss: Callable[..., torch.Tensor]) -> Callable[[], object]:
        def call() -> object:
            leaves = data.leaves()
            return torch.autograd.grad(loss(*leaves), leaves)

        return call

    found = {"engine": step(lambda r, w: triplet_loss(r, w, rule, **counts))}
    if loop:
        found["loop"] = step(
            lambda r, w: loop_reference.triplet_loss(loop_reference.similarity_matrix(r, w, rule, **counts))
        )
    if batched_bytes(data, rule, training=True) < BATCHED_LIMIT:
        found["batched"] = step(lambda r, w: loop_reference.triplet_loss(batched(data, r, w, rule)))
    return found


def evaluation(data: Embeddings, rule: Attention) -> Calls:
    """A slice of the captions against all images; a split has five captions an image."""
    counts = {"word_counts": data.word_counts}
    flat_ND = data.packed_words()
    shards = data.regions.split(SHARD)

    def loop() -> None:
        for shard in shards:
            loop_reference.similarity_matrix(shard, data.words, rule, **counts)

    return {
        "engine": lambda: similarity_matrix(data.regions, data.words, rule, **counts),
        "product": lambda: [rows_times_rows(flat_ND, shard.flatten(0, 1)) for shard in shards],
        "matmul": lambda: [flat_ND @ shard.flatten(0, 1).T for shard in shards],
        "loop": loop,
    }


def line(case: dict[str, Any], clock: str) -> str:
    """One row of the table."""
    cells = [f"{case['mode']:10} {case['direction']} {case['size']:5}"]
    for name in ("engine", "product", "matmul", "batched", "loop"):
        if name not in case["measured"]:
            cells.append(f"{name} not run")
            continue
        measured = case["measured"][name]
        memory = "" if measured["peak_bytes"] is None else f" {measured['peak_bytes'] / 2**20:.0f} MiB"
        times = "" if name == "engine" else f" (x{case['engine_faster_by'][name]:.2f})"
        cells.append(f"{name} {measured[clock + '_seconds']:.3f} s{times}{memory}")
    return " | ".join(cells)


if __name__ == "__main__":
    main()
