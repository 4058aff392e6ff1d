"""100,000 images x 500,000 captions in bounded memory: a smaller run under a hard limit, and arithmetic."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from retrieval.small_models import WORDS, write_data, write_model
from scan_lightning.cli import main
from scan_lightning.retrieval import embedding_store, score
from scan_lightning.retrieval.score import Embeddings, Member
from scan_lightning.retrieval.tiles import Tile
from scan_lightning.similarity import SumMax

BUDGET = 32 * 2**20

# The limit (RLIMIT_DATA) is the kernel's, on all memory of a process that no file lies behind.
RUN = """
import json, resource, sys, time
import torch
from pathlib import Path
from scan_lightning.retrieval.embedding_store import EmbeddingStore
from scan_lightning.retrieval.score import Embeddings, rank_split
from scan_lightning.similarity import SumMax

def held(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))

images, budget, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
torch.set_num_threads(1)
draw = torch.Generator().manual_seed(0)
sides = []
for items, rows in ((images, 4), (5 * images, 3)):
    side = EmbeddingStore(32, folder, memory_limit=0)
    for first in range(0, items, 500):
        chosen = torch.arange(first, min(items, first + 500))
        embedded = torch.randn(len(chosen), rows, 32, generator=draw)
        side.add(chosen, embedded, torch.full((len(chosen),), rows))
    sides.append(side.finish()[1])
gold = torch.arange(5 * images) // 5
few = [Embeddings(side.packed[:12], side.counts[:n]) for side, n in zip(sides, (3, 4))]
rank_split(*few, torch.tensor([0, 1, 2, 2]), SumMax("t2i"))  # torch allocates some things once
limit = held("VmData") + int(sys.argv[4])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
ranks = rank_split(*sides, gold, SumMax("t2i"), memory_budget=budget)
print(json.dumps([len(ranks.t2i), float(ranks.t2i.mean()), sum(s.packed.nbytes for s in sides)]))
"""


def run(images: int, limit: int, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RUN, str(images), str(BUDGET), str(folder), str(limit)],
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits as on Linux")
@pytest.mark.parametrize("images", [1_000, 4_000])
def test_the_run_fits_its_budget_whatever_the_size(images: int, tmp_path: Path) -> None:
    """4,000 x 20,000 scores alone are 305 MiB; the run may take its 32 MiB and 16 for all the rest."""
    done = run(images, BUDGET + 16 * 2**20, tmp_path)
    assert done.returncode == 0, done.stderr
    captions, mean_rank, _ = json.loads(done.stdout)
    assert captions == 5 * images
    assert abs(mean_rank / images - 0.5) < 0.05  # embeddings without meaning rank in the middle
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits as on Linux")
def test_the_limit_of_that_test_bites(tmp_path: Path) -> None:
    assert run(1_000, 2 * 2**20, tmp_path).returncode != 0


def test_the_arithmetic_of_100000_by_500000() -> None:
    """No tile is larger than its share, every pair is in one tile, and little is kept for each query."""
    images, captions, dim, budget = 100_000, 500_000, 1024, 512 * 2**20
    draw = torch.Generator().manual_seed(0)
    counts = [torch.full((images,), 36), torch.randint(8, 21, (captions,), generator=draw)]
    # A single number stands for 40 GB of rows: tiles are planned by counts alone.
    sides = [Embeddings(torch.zeros(1, 1).expand(int(count.sum()), dim), count) for count in counts]
    gold = torch.arange(captions) // 5
    start = time.process_time()
    tiles = score._tiles([Member(sides[0], sides[1], SumMax("t2i"))], torch.arange(captions), gold, 1, budget)
    assert time.process_time() - start < 10
    assert sum(tile.pairs for tile in tiles) == images * captions
    spans = [sorted({tile.images for tile in tiles}), sorted({tile.captions for tile in tiles})]
    assert len(spans[0]) * len(spans[1]) == len(tiles)
    for side, side_spans, count in zip(sides, spans, counts, strict=True):
        assert [start for start, _ in side_spans] == [0, *(stop for _, stop in side_spans[:-1])]
        assert side_spans[-1][1] == len(side)
        for first, last in side_spans:
            assert (last - first) * int(count[first:last].max()) * dim * 4 <= budget // 8
    assert max(tile.pairs for tile in tiles) * 4 <= budget // 32
    gold_tiles = [tile for tile in tiles if tile.gold]
    assert len(gold_tiles) <= len(spans[0]) + len(spans[1])  # near the diagonal: scored twice at most
    assert all(_holds_gold(tile, gold) for tile in gold_tiles)
    # The rest grows with the queries: gold scores, best scores, counts, order and index, 8 bytes each.
    assert 8 * (3 * captions + 2 * images) + 4 * 8 * captions < 32 * 2**20


def _holds_gold(tile: Tile, gold: torch.Tensor) -> bool:
    owners = gold[slice(*tile.captions)]
    return bool(((owners >= tile.images[0]) & (owners < tile.images[1])).any())


def test_ctrl_c_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the middle of the ranking, with the embeddings in a file."""
    data = write_data(tmp_path / "data.h5")
    model = write_model(tmp_path / "a.ckpt", seed=1, words=WORDS)
    out = tmp_path / "out"
    asked = []

    def interrupted(*_: object, **__: object) -> torch.Tensor:
        asked.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(embedding_store, "_physical_memory", lambda: 0)
    monkeypatch.setattr(score, "similarity_matrix", interrupted)
    words = ["evaluate", f"checkpoint={model}", f"data.path={data}", f"run_dir={out}", "split=test"]
    monkeypatch.setattr(sys, "argv", ["scan-lightning", *words])
    assert main() == 130
    assert asked
    assert not out.exists()
