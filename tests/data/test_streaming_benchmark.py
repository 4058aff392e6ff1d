"""benchmarks/streaming.py runs, and every way to read gives the same batches (it compares them itself)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "streaming.py"


@pytest.mark.slow
def test_the_benchmark_at_tiny_sizes(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--quick", "--out", str(tmp_path), "--rounds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    cases = json.loads((tmp_path / "streaming.json").read_text())["cases"]
    assert [(case["dtype"], *case["regions"], case["workers"]) for case in cases] == [
        (dtype, *regions, workers)
        for dtype, regions in (("float16", (36, 36)), ("float32", (36, 36)), ("float16", (10, 100)))
        for workers in (0, 1)
    ]
    for case in cases:
        names = list(case["records_per_second"])
        assert names[:2] == ["store", "NumPy memory map, copy loop"]
        assert "LMDB" in names
        assert all(rate > 0 for rate in case["records_per_second"].values())
    assert (tmp_path / "streaming.png").stat().st_size > 10_000
