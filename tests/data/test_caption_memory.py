"""Captions as ids: one array, made in blocks, in the memory of that array."""

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from scan_lightning.data import captions as module
from scan_lightning.data.captions import caption_tokens
from scan_lightning.data.ragged import offsets_of
from scan_lightning.data.text import Vocabulary

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "captions.py"


def _store(captions: int) -> SimpleNamespace:
    rng = np.random.default_rng(0)
    offsets = offsets_of(rng.integers(0, 12, captions))
    tokens = rng.integers(0, 50, int(offsets[-1]), dtype=np.int32)
    words = [f"word{row}" for row in range(50)], np.arange(50)
    return SimpleNamespace(
        tokenizer="spacy-en-lower", lexicon=words, caption_offsets=offsets, token_rows=tokens
    )


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_blocks_do_not_change_the_ids(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    store, rows = _store(100), np.random.default_rng(1).permutation(100)[:60]
    vocabulary = Vocabulary.from_counts(*store.lexicon, threshold=9)
    tokens = caption_tokens(store, rows, vocabulary)  # type: ignore[arg-type]
    for position, row in enumerate(rows.tolist()):
        own = store.token_rows[store.caption_offsets[row] : store.caption_offsets[row + 1]]
        expected = vocabulary.encode([store.lexicon[0][word] for word in own.tolist()])
        assert tokens.padded(np.array([position]))[0][0].tolist() == expected
    assert len(caption_tokens(store, rows[:0], vocabulary)) == 0  # type: ignore[arg-type]


def test_making_the_ids_takes_little_more_than_their_memory() -> None:
    store, rows = _store(400_000), np.arange(400_000)
    vocabulary = Vocabulary.from_counts(*store.lexicon)
    tracemalloc.start()
    tokens = caption_tokens(store, rows, vocabulary)  # type: ignore[arg-type]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.2 * (int(tokens.counts.sum()) * 4 + 8 * len(rows))


@pytest.mark.slow
def test_the_benchmark_at_small_sizes(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--most", "100000", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    sizes = json.loads((tmp_path / "captions.json").read_text())["sizes"]
    assert [row["captions"] for row in sizes] == [10_000, 100_000]
