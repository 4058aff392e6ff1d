"""The whole way for real, shrunk, through the Makefile's command: data, store, training, table."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def dry(folder: Path, table: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scan_lightning.reproduce", table, "--dry", *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_flickr30k_four_rows_and_the_ensemble(tmp_path: Path) -> None:
    done = dry(tmp_path, "flickr30k", "--jobs", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["outputs"]
    assert [path.name for path in (tmp_path / "outputs").iterdir()] == ["reproduce-dry"]
    records = tmp_path / "outputs" / "reproduce-dry" / "flickr30k" / "records"
    with (records / "results.csv").open() as file:
        rows = {row["row"]: row for row in csv.DictReader(file)}
    run = {name for name, row in rows.items() if row["verdict"] != "not run"}
    assert run == {"t2i_lse", "t2i_mean", "i2t_lse", "i2t_mean", "t2i_mean+i2t_lse"}
    assert all(len(rows[name]["config_hash"]) == 12 for name in run - {"t2i_mean+i2t_lse"})
    assert len({rows[name]["config_hash"] for name in run}) == 5
    assert rows["i2t_lse"]["expected_rsum"] == "451.4"
    text = (records / "results.md").read_text()
    assert "generated data" in text
    assert text in done.stdout
    for name in run:
        found = json.loads((records / "runs" / f"{name}-seed0" / "test_1k" / "results.json").read_text())
        assert (found["split"], found["images"], found["captions"]) == ("test", 25, 125)


def test_coco_under_both_protocols(tmp_path: Path) -> None:
    done = dry(tmp_path, "coco", "--only", "t2i_lse,i2t_mean,t2i_lse+i2t_mean")
    assert done.returncode == 0, done.stdout + done.stderr
    records = tmp_path / "outputs" / "reproduce-dry" / "coco" / "records"
    with (records / "results.csv").open() as file:
        rows = {(row["protocol"], row["row"]): row for row in csv.DictReader(file) if row["rsum"]}
    assert set(rows) == {
        (protocol, row) for protocol in ("1k", "5k") for row in ("t2i_lse", "i2t_mean", "t2i_lse+i2t_mean")
    }
    for row in ("t2i_lse", "i2t_mean", "t2i_lse+i2t_mean"):
        # A fold has five images: whatever the model, the right one is among the first five.
        assert rows["1k", row]["t2i_r5"] == rows["1k", row]["t2i_r10"] == "100.0"
        assert float(rows["5k", row]["t2i_r5"]) < 60
        assert float(rows["1k", row]["i2t_r1"]) > float(rows["5k", row]["i2t_r1"])
