"""The scaling benchmark runs, and reports what every process did."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_each_process_reports_its_share(tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/scaling.py", "--quick", "--rounds", "1", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "scaling.json").read_text())
    shares = [[rank["pairs"] for rank in case["ranks"]] for case in report["processes"]]
    assert shares == [[11], [5, 6], [3, 4, 4]]
    for case in report["processes"]:
        for rank in case["ranks"]:
            assert rank["cpu_seconds"] > 0
            assert (rank.get("sent_bytes", 0) > rank.get("sent_bytes_gradients", 0)) == (
                len(case["ranks"]) > 1
            )
    assert [(case["pairs"], case["part"]) for case in report["micro_batches"]] == [
        (pairs, part) for pairs in (16, 32) for part in (None, 8)
    ]
    assert (tmp_path / "scaling.png").stat().st_size > 10_000
    assert report["gpu"] == "not measured"
