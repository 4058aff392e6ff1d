"""The benchmark's picture: how many times faster the engine is, and how much memory it takes."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

COLOURS = {"engine": "#1b6ca8", "loop": "#c44e52", "batched": "#dd8452", "product": "#8c8c8c"}
LABELS = {"engine": "engine", "loop": "loop over captions", "batched": "attended vectors, batched"}


def draw(report: dict[str, Any], path: Path) -> None:
    """Draw one row of panels for speed and one for memory."""
    figure, axes = plt.subplots(2, 2, figsize=(10, 7), constrained_layout=True)
    speed(axes[0, 0], report, "training", "batch (loss, forward and backward)")
    speed(axes[0, 1], report, "evaluation", f"images (x {report['sizes']['captions']} captions)")
    floor(axes[1, 0], report)
    memory(axes[1, 1], report)
    figure.suptitle(
        f"Similarity engine: {report['machine']}, {report['date']}, float32, {report['clock']} time, "
        f"36 regions, 8-20 words, D {report['sizes']['dim']}"
    )
    figure.savefig(path, dpi=120)
    plt.close(figure)


def speed(axis: Any, report: dict[str, Any], mode: str, label: str) -> None:
    for direction, style in (("t2i", "-"), ("i2t", "--")):
        for rival in ("loop", "batched"):
            cases = [
                case
                for case in report["cases"]
                if (case["mode"], case["direction"]) == (mode, direction)
                and rival in case["engine_faster_by"]
            ]
            if cases:
                axis.plot(
                    [case["size"] for case in cases],
                    [case["engine_faster_by"][rival] for case in cases],
                    style, marker="o", color=COLOURS[rival], label=f"{direction}: {LABELS[rival]}",
                )  # fmt: skip
    axis.axhline(1, color="black", linewidth=0.7)
    axis.set(xscale="log", yscale="log", xlabel=label, ylabel="times faster than", title=mode)
    ticks(axis, [case["size"] for case in report["cases"] if case["mode"] == mode])
    axis.legend(fontsize=8)


def floor(axis: Any, report: dict[str, Any]) -> None:
    for direction, style in (("t2i", "-"), ("i2t", "--")):
        cases = [
            case for case in report["cases"] if (case["mode"], case["direction"]) == ("forward", direction)
        ]
        sizes = [case["size"] for case in cases]
        engine = [1 / case["engine_faster_by"]["product"] for case in cases]
        axis.plot(sizes, engine, style, marker="o", color=COLOURS["engine"], label=direction)
        if direction == "t2i":  # the same product in both
            matmul = [
                case["engine_faster_by"]["matmul"] / case["engine_faster_by"]["product"] for case in cases
            ]
            axis.plot(sizes, matmul, ":", color=COLOURS["product"], label="the product by torch's @")
    axis.axhline(1, color=COLOURS["product"], label="the bare matrix product")
    axis.set(xscale="log", xlabel="batch", ylabel="time, in bare products", title="forward against the floor")
    axis.set_ylim(bottom=0)
    ticks(axis, [case["size"] for case in report["cases"] if case["mode"] == "forward"])
    axis.legend(fontsize=8)


def memory(axis: Any, report: dict[str, Any]) -> None:
    for direction, style in (("t2i", "-"), ("i2t", "--")):
        for name in ("engine", "loop", "batched"):
            points = [
                (case["size"], case["measured"][name]["peak_bytes"] / 2**30)
                for case in report["cases"]
                if (case["mode"], case["direction"]) == ("training", direction)
                and name in case["measured"]
                and case["measured"][name]["peak_bytes"]
            ]
            if points:
                axis.plot(*zip(*points, strict=True), style, marker="o", color=COLOURS[name],
                          label=f"{direction}: {LABELS[name]}")  # fmt: skip
    axis.set(
        xscale="log",
        yscale="log",
        xlabel="batch",
        ylabel="GiB above the start",
        title="training, peak memory",
    )
    ticks(axis, [case["size"] for case in report["cases"] if case["mode"] == "training"])
    if axis.lines:
        axis.legend(fontsize=8, loc="upper right")


def ticks(axis: Any, sizes: list[int]) -> None:
    shown = sorted(set(sizes))
    axis.set_xticks(shown, [str(size) for size in shown])
    axis.minorticks_off()
