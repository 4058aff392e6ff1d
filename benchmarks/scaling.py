"""What a training step costs each process when several share a global batch, and a large batch in parts.

A step is what `scan-lightning train` does: encode the own share, gather embeddings, mine the own images
against all captions, score and differentiate the pairs that count, average gradients, Adam. Processes run on
one core each; with fewer cores than processes, or on a busy machine, wall time says nothing: the processor
seconds of each process do. Communication is replayed by itself: the same collectives of the same sizes.
Writes scaling.json and scaling.png and prints the table.

    python benchmarks/scaling.py                 # minutes, Flickr30K's sizes
    python benchmarks/scaling.py --quick         # seconds, tiny sizes: only shows that it works
"""

from __future__ import annotations

import argparse
import datetime
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn

from measuring import machine, peak_memory
from scan_lightning.data.batches import CaptionBatch, ImageBatch, PairBatch
from scan_lightning.data.order import rank_slice
from scan_lightning.data.text import SPECIALS, Vocabulary
from scan_lightning.model.scan import ScanModel, encode_pairs
from scan_lightning.similarity import Attention, triplet_loss
from scan_lightning.training.loss_share import loss_share

RULE = Attention("t2i", 9.0, aggregation="mean")
REGIONS = 36


@dataclass(frozen=True)
class Sizes:
    """What is trained on: pairs of a global batch, widths, words, and the large batches in parts."""

    batch: int
    embed: int
    features: int
    vocabulary: int
    words: tuple[int, int]
    large: tuple[int, ...]
    part: int


FULL = Sizes(128, 1024, 2048, 8481, (8, 20), (128, 256, 512), 128)
QUICK = Sizes(11, 16, 32, 50, (3, 6), (16, 32), 8)


class Step(nn.Module):
    """The forward half of a step, so that DDP can wrap it."""

    def __init__(self, sizes: Sizes, part: int | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        words = Vocabulary([*SPECIALS, *map(str, range(len(SPECIALS), sizes.vocabulary))])
        self.model = ScanModel(sizes.features, words, embed_size=sizes.embed)
        self.part = part

    def forward(self, batch: PairBatch) -> Tensor:
        """Return what the process differentiates: its share of the loss, times the number of processes."""
        own = encode_pairs(self.model, batch, 1 if self.part is None else -(-len(batch) // self.part))
        if dist.is_initialized():
            return loss_share(own, RULE, margin=0.2, negatives="hardest") * dist.get_world_size()
        counts = {"region_counts": own.region_counts, "word_counts": own.word_counts}
        return triplet_loss(own.regions, own.words, RULE, **counts)


def batch_of(sizes: Sizes, pairs: int, part: slice) -> PairBatch:
    """A share of a batch of random features, half precision as in a store, and random words."""
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(pairs, REGIONS, sizes.features, generator=generator).half()[part]
    counts = torch.randint(sizes.words[0], sizes.words[1] + 1, (pairs,), generator=generator)
    tokens = torch.randint(4, sizes.vocabulary, (pairs, int(counts.max())), generator=generator)
    rows = torch.arange(pairs)[part]
    images = ImageBatch(features.clone(), torch.full((len(features),), REGIONS), rows)
    longest = int(counts[part].max())
    return PairBatch(images, CaptionBatch(tokens[part, :longest], counts[part], rows, rows))


def stepper(module: nn.Module, batch: PairBatch) -> Callable[[], None]:
    """One whole step."""
    optimizer = torch.optim.Adam(module.parameters(), lr=2e-4)

    def step() -> None:
        optimizer.zero_grad()
        module(batch).backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 2.0)
        optimizer.step()

    return step


def measure(step: Callable[[], None], rounds: int) -> dict[str, Any]:
    """The best of some rounds by each clock, and the memory of one step above what stays between steps."""
    step()  # makes Adam's state and DDP's buckets
    memory = peak_memory(step, torch.device("cpu"))
    wall, cpu = [], []
    for _ in range(rounds):
        starts = time.perf_counter(), time.process_time()
        step()
        wall.append(time.perf_counter() - starts[0])
        cpu.append(time.process_time() - starts[1])
    return {"wall_seconds": min(wall), "cpu_seconds": min(cpu), "peak_bytes": memory}


def collectives(step: Callable[[], None], module: nn.Module) -> list[tuple[str, int, torch.dtype]]:
    """Name, numbers sent and type of every collective of a step; DDP's own is one of all gradients."""
    seen: list[tuple[str, int, torch.dtype]] = []
    originals = dist.all_gather, dist.all_reduce

    def all_gather(received: list[Tensor], own: Tensor) -> None:
        seen.append(("all_gather", own.numel(), own.dtype))
        originals[0](received, own)

    def all_reduce(tensor: Tensor) -> None:
        seen.append(("all_reduce", tensor.numel(), tensor.dtype))
        originals[1](tensor)

    dist.all_gather, dist.all_reduce = all_gather, all_reduce  # type: ignore[assignment]
    try:
        step()
    finally:
        dist.all_gather, dist.all_reduce = originals
    weights = sum(parameter.numel() for parameter in module.parameters())
    return [*seen, ("all_reduce", weights, torch.float32)]


def replay(seen: list[tuple[str, int, torch.dtype]]) -> None:
    """Communicate as a step does, and compute nothing."""
    for name, numbers, dtype in seen:
        tensor = torch.zeros(numbers, dtype=dtype)
        if name == "all_gather":
            dist.all_gather([torch.empty_like(tensor) for _ in range(dist.get_world_size())], tensor)
        else:
            dist.all_reduce(tensor)


def shared(rank: int, folder: str, world: int, sizes: Sizes, rounds: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)
    batch = batch_of(sizes, sizes.batch, rank_slice(sizes.batch, rank, world))
    module = nn.parallel.DistributedDataParallel(Step(sizes))
    step = stepper(module, batch)
    found = measure(step, rounds)
    seen = collectives(step, module)
    communication = measure(lambda: replay(seen), rounds)
    found |= {
        "pairs": len(batch),
        "communication_cpu_seconds": communication["cpu_seconds"],
        "communication_wall_seconds": communication["wall_seconds"],
        "sent_bytes": sum(numbers * dtype.itemsize for _, numbers, dtype in seen),
        "sent_bytes_gradients": seen[-1][1] * 4,
    }
    (Path(folder) / f"{rank}.json").write_text(json.dumps(found))
    dist.barrier()
    dist.destroy_process_group()


def alone(_: int, folder: str, sizes: Sizes, pairs: int, part: int | None, rounds: int) -> None:
    torch.set_num_threads(1)
    step = stepper(Step(sizes, part), batch_of(sizes, pairs, slice(0, pairs)))
    (Path(folder) / "0.json").write_text(json.dumps({"pairs": pairs, **measure(step, rounds)}))


def run(function: Callable[..., None], world: int, *arguments: Any) -> list[dict[str, Any]]:
    """What each process wrote; fresh processes, so that no case inherits another's memory."""
    with tempfile.TemporaryDirectory() as folder:
        mp.start_processes(function, (folder, *arguments), nprocs=world, start_method="fork")
        return [json.loads((Path(folder) / f"{rank}.json").read_text()) for rank in range(world)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmarks/scaling"), help="for results")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="tiny sizes")
    arguments = parser.parse_args()
    sizes = QUICK if arguments.quick else FULL
    torch.set_num_threads(1)
    report: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(torch.device("cpu")),
        "torch": torch.__version__,
        "sizes": {**vars(sizes), "regions": REGIONS},
        "gpu": "not measured",
        "processes": [],
        "micro_batches": [],
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (whole,) = run(alone, 1, sizes, sizes.batch, None, arguments.rounds)
    report["processes"].append({"processes": 1, "ranks": [whole]})
    for world in (count for count in arguments.processes if count > 1):
        report["processes"].append(
            {"processes": world, "ranks": run(shared, world, world, sizes, arguments.rounds)}
        )
    for case in report["processes"]:
        case["communication_share"] = worst(case, "communication_cpu_seconds") / worst(case, "cpu_seconds")
        print(process_line(case), flush=True)
    for pairs in sizes.large:
        for part in (None, sizes.part):
            (found,) = run(alone, 1, sizes, pairs, part, 1 if pairs > sizes.batch else 3)
            case = {"part": part, **found}
            report["micro_batches"].append(case)
            print(large_line(case), flush=True)
    (arguments.out / "scaling.json").write_text(json.dumps(report, indent=1) + "\n")
    draw(report, arguments.out / "scaling.png")
    print(f"{report['machine']}, {report['date']}: {arguments.out}/scaling.json and scaling.png")


def worst(case: dict[str, Any], key: str) -> float:
    """The largest figure of any process: the one that the others wait for."""
    return float(max(rank.get(key, 0) for rank in case["ranks"]))


def process_line(case: dict[str, Any]) -> str:
    return (
        f"{case['processes']} processes, at most {worst(case, 'pairs'):.0f} pairs each: "
        f"{worst(case, 'cpu_seconds'):.2f} s of processor a step, "
        f"{100 * case['communication_share']:.0f} % of it communication, "
        f"{worst(case, 'wall_seconds'):.2f} s wall, {worst(case, 'peak_bytes') / 2**20:.0f} MiB a step, "
        f"{worst(case, 'sent_bytes') / 2**20:.0f} MiB sent"
    )


def large_line(case: dict[str, Any]) -> str:
    how = f"{case['part']} at a time" if case["part"] else "at once"
    return (
        f"batch {case['pairs']}, encoded {how}: {case['peak_bytes'] / 2**20:.0f} MiB a step, "
        f"{case['cpu_seconds']:.2f} s of processor"
    )


def draw(report: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (time_axis, memory_axis, large_axis) = plt.subplots(
        1, 3, figsize=(12, 4), constrained_layout=True
    )
    counts = [case["processes"] for case in report["processes"]]
    cpu = [worst(case, "cpu_seconds") for case in report["processes"]]
    communication = [worst(case, "communication_cpu_seconds") for case in report["processes"]]
    work = [total - part for total, part in zip(cpu, communication, strict=True)]
    time_axis.bar(counts, work, color="#1b6ca8", label="work")
    bars = time_axis.bar(counts, communication, bottom=work, color="#dd8452", label="communication")
    shares = [f"{100 * case['communication_share']:.0f} %" for case in report["processes"]]
    time_axis.bar_label(bars, ["", *shares[1:]], padding=2)
    time_axis.set_ylim(0, 1.12 * max(cpu))
    time_axis.plot(counts, [cpu[0] / count for count in counts], "k--", label="1 / N")
    time_axis.set(title="processor seconds of a step, busiest process", xlabel="processes", xticks=counts)
    time_axis.legend()
    memory = [worst(case, "peak_bytes") / 2**20 for case in report["processes"]]
    memory_axis.bar(counts, memory, color="#1b6ca8")
    memory_axis.margins(y=0.12)
    memory_axis.plot(counts, [memory[0] / count for count in counts], "k--", label="1 / N")
    memory_axis.set(title="memory of a step, largest process (MiB)", xlabel="processes", xticks=counts)
    memory_axis.legend()
    for part, colour in ((None, "#c44e52"), (report["sizes"]["part"], "#1b6ca8")):
        cases = [case for case in report["micro_batches"] if case["part"] == part]
        label = f"{part} at a time (loss.micro_batches)" if part else "at once"
        large_axis.plot(
            [case["pairs"] for case in cases],
            [case["peak_bytes"] / 2**20 for case in cases],
            "o-",
            color=colour,
            label=label,
        )
    large_axis.set(title="memory of a step, one process (MiB)", xlabel="batch", ylim=(0, None))
    large_axis.legend(loc="lower right")
    figure.suptitle(f"One global batch of {report['sizes']['batch']}: {report['machine']}, {report['date']}")
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
