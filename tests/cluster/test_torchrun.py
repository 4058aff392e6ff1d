"""Two nodes of one process each, started by torchrun as docs/cluster.md says; both are this machine."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from one_node import free_ports

from scan_lightning.reproduce.dry import generate, shrink
from scan_lightning.reproduce.paper_tables import TABLES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
COMMAND = [sys.executable, "-m", "scan_lightning"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]


def test_two_nodes_make_the_run_of_one_process(tmp_path: Path) -> None:
    generate(shrink(TABLES["flickr8k"]), tmp_path / "data")
    store, run = tmp_path / "small.h5", tmp_path / "run"
    words = [
        "data",
        "build",
        "--layout",
        "scan-release",
        "--root",
        str(tmp_path / "data"),
        "--out",
        str(store),
    ]
    subprocess.run([*COMMAND, *words], check=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    (port,) = free_ports(1)
    settings = [f"data.path={store}", "model.embed_size=16", "model.word_size=16", "data.batch_size=50"]
    settings += ["trainer=ddp_cpu", "trainer.devices=1", "trainer.num_nodes=2", "trainer.max_epochs=1"]
    cluster = ["--nnodes=2", "--nproc-per-node=1", "--master-addr=127.0.0.1", f"--master-port={port}"]
    train = ["-m", "scan_lightning", "train", *settings, f"run_dir={run}"]
    nodes = [
        subprocess.Popen(
            [*TORCHRUN, *cluster, f"--node-rank={rank}", *train],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        printed = [node.communicate(timeout=600)[0] for node in nodes]
    finally:
        for node in nodes:
            node.kill()
    assert [node.returncode for node in nodes] == [0, 0], "\n".join(printed)
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows if row["train/loss"]] == list(
        range(1, 11)
    )  # 500 pairs, 50 a step
    assert json.loads((run / "run.json").read_text())["status"] == "done"

    one = [*settings[:4], "trainer=cpu", "trainer.max_epochs=1", f"run_dir={tmp_path}/one"]
    subprocess.run([*COMMAND, "train", *one], env=environment, check=True)
    with (tmp_path / "one" / "metrics.csv").open() as file:
        losses = [
            [float(row["train/loss"]) for row in table if row["train/loss"]]
            for table in (rows, csv.DictReader(file))
        ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)

    alone = tmp_path / "alone"
    best = run / "checkpoints" / "best.ckpt"
    words = [f"checkpoint={best}", f"data.path={store}", "split=val", f"run_dir={alone}", "trainer=cpu"]
    subprocess.run([*COMMAND, "evaluate", *words], env=environment, check=True)
    first, second = (json.loads((folder / "results.json").read_text()) for folder in (run, alone))
    for side in ("i2t", "t2i"):
        for name in ("r1", "r5", "r10", "medr", "meanr"):
            assert first[side][name] == second[side][name]
