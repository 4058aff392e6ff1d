"""Seconds and memory of the captions of a split as token ids, for growing numbers of generated captions.

Each number is measured in a process of its own: `ids` is the one array of ids and its offsets, `peak` what
making them takes above the store's own arrays, `batch` one padded batch of 128. Writes captions.json and the
table.

    python benchmarks/captions.py                    # 10,000 to 10 million: a minute, 3 GB
    python benchmarks/captions.py --most 1000000     # only to a million
"""

import argparse
import datetime
import json
import multiprocessing
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from measuring import machine, peak_memory
from scan_lightning.data.captions import CaptionTokens, caption_tokens
from scan_lightning.data.ragged import offsets_of
from scan_lightning.data.text import Vocabulary

WORDS, SHORTEST, LONGEST, BATCH = 20_000, 5, 20, 128
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--most", type=int, default=SIZES[-1], help="the largest number of captions")
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmarks/captions"), help="for results")
    arguments = parser.parse_args()
    rows = []
    print(f"{'captions':>12} {'ids':>10} {'peak':>10} {'seconds':>8} {'batch':>10}")
    for size in (size for size in SIZES if size <= arguments.most):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            row = pool.apply(measure, (size,))
        rows.append(row)
        print(
            f"{size:12,} {row['ids_bytes'] / 1e6:7,.1f} MB {row['peak_bytes'] / 1e6:7,.1f} MB "
            f"{row['seconds']:8.2f} {row['batch_seconds'] * 1e6:7,.0f} us"
        )
    report = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(torch.device("cpu")),
        "words": WORDS,
        "tokens": [SHORTEST, LONGEST],
        "batch": BATCH,
        "sizes": rows,
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "captions.json").write_text(json.dumps(report, indent=2) + "\n")


def measure(captions: int) -> dict[str, float]:
    """One number of captions, all of them in random order; the arrays stand in for those of a store."""
    rng = np.random.default_rng(0)
    offsets = offsets_of(rng.integers(SHORTEST, LONGEST + 1, captions))
    words = [f"word{row}" for row in range(WORDS)]
    store = SimpleNamespace(
        tokenizer="spacy-en-lower",
        lexicon=(words, np.full(WORDS, 9)),
        caption_offsets=offsets,
        token_rows=rng.integers(0, WORDS, int(offsets[-1]), dtype=np.int32),
    )
    vocabulary, rows = Vocabulary.from_counts(*store.lexicon), rng.permutation(captions)
    caption_tokens(store, rows[:1000], vocabulary)  # type: ignore[arg-type]  # what is only done once
    made: list[CaptionTokens] = []
    start = time.perf_counter()
    peak = peak_memory(
        lambda: made.append(caption_tokens(store, rows, vocabulary)),  # type: ignore[arg-type]
        torch.device("cpu"),
    )
    seconds, tokens = time.perf_counter() - start, made[0]
    start = time.perf_counter()
    for _ in range(100):
        tokens.padded(rng.integers(0, captions, BATCH))
    return {
        "captions": captions,
        "tokens": int(tokens.counts.sum()),
        "ids_bytes": int(tokens.counts.sum()) * 4 + (captions + 1) * 8,
        "peak_bytes": peak or 0,
        "seconds": seconds,
        "batch_seconds": (time.perf_counter() - start) / 100,
    }


if __name__ == "__main__":
    main()
