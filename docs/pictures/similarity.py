"""Draws the figures of docs/similarity.md, beside this file: `python docs/pictures/similarity.py`"""

from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch.nn.functional import normalize

from scan_lightning.similarity import Attention, attend

WORDS = ["a", "blue", "square", "left", "of", "a", "red", "disc"]
MEANT = {1: 0, 2: 0, 6: 1, 7: 1}  # word -> the region it is about
REGIONS, DIM = 6, 64
FOLDER = Path(__file__).parent


def embeddings() -> tuple[torch.Tensor, torch.Tensor]:
    """Unit vectors of regions (R, D) and words (W, D): a word leans towards the region it is about."""
    draw = torch.Generator().manual_seed(3)
    regions = normalize(torch.randn(REGIONS, DIM, generator=draw), dim=1)
    words = torch.randn(len(WORDS), DIM, generator=draw) / DIM**0.5
    for word, region in MEANT.items():
        words[word] += 0.6 * regions[region]
    return regions, normalize(words, dim=1)


def _cells(values: torch.Tensor) -> Iterator[tuple[tuple[int, int], float]]:
    for row, numbers in enumerate(values.tolist()):
        for column, number in enumerate(numbers):
            yield (row, column), number


def draw_pair(path: Path) -> None:
    """One pair from raw scores to the similarity, as the engine sees it."""
    regions, words = embeddings()
    rule = Attention("t2i", smoothing=9.0)
    weights, relevance = attend(regions, words, rule)
    scores = words @ regions.T
    figure, axes = plt.subplots(1, 4, figsize=(10.5, 3.6), width_ratios=[6, 6, 6, 1.2], layout="constrained")
    panels = [
        (scores, "raw scores s = words · regions"),
        (weights, "weights w, a row adds up to 1"),
        (regions @ regions.T, "Gram matrix G of the regions"),
        (relevance[:, None], "R"),
    ]
    for axis, (values, title) in zip(axes, panels, strict=True):
        low, high = (0, 1) if title.startswith("weights") else (-1, 1)
        drawn = axis.imshow(values, cmap="cividis" if low == 0 else "RdBu_r", vmin=low, vmax=high)
        axis.set_title(title, fontsize=10)
        for (row, column), value in _cells(values):
            red, green, blue, _ = drawn.cmap(drawn.norm(value))
            colour = "white" if 0.3 * red + 0.6 * green + 0.1 * blue < 0.5 else "black"
            axis.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=6.5, color=colour)
        rows, columns = values.shape
        names = [f"r{number + 1}" for number in range(REGIONS)]
        axis.set_xticks(range(columns), names if columns == REGIONS else [""])
        left = axis in (axes[0], axes[2])
        axis.set_yticks(range(rows), (WORDS if rows == len(WORDS) else names) if left else [""] * rows)
        axis.tick_params(length=0, labelsize=9)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_smoothing(path: Path) -> None:
    """How lambda_1 moves a word's attention between even and a single region."""
    regions, words = embeddings()
    values = [1, 2, 4, 9, 20, 50]
    figure, axis = plt.subplots(figsize=(6, 2.8), layout="constrained")
    for place, value in enumerate(values):
        weights, _ = attend(regions, words, Attention("t2i", smoothing=value))
        positions = [region + (place - 2.5) * 0.13 for region in range(REGIONS)]
        axis.bar(positions, weights[7], 0.13, label=f"{value}", color=plt.get_cmap("cividis")(place / 5))
    axis.set_xticks(range(REGIONS), [f"r{n + 1}" for n in range(REGIONS)])
    axis.set_ylabel("weight of the word “disc”")
    axis.set_ylim(0, 1)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(title="smoothing λ₁", ncols=2, frameon=False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    draw_pair(FOLDER / "similarity_pair.png")
    draw_smoothing(FOLDER / "similarity_smoothing.png")
