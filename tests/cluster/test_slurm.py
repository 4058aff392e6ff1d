"""A real Slurm: a run of two tasks; a sweep of four jobs, one of them queued again and gone on with."""

import csv
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from one_node import OneNodeCluster

from scan_lightning.reproduce.dry import generate, shrink
from scan_lightning.reproduce.paper_tables import TABLES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
COMMAND = [sys.executable, "-m", "scan_lightning"]
SMALL = [
    "model.embed_size=16",
    "model.word_size=16",
    "data.batch_size=10",
    "trainer=cpu",
    "trainer.max_epochs=8",
    "checkpointing.every_steps=20",
]
STEPS = 8 * 50  # 500 captions


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    generate(shrink(TABLES["flickr8k"]), folder)
    words = [
        "data",
        "build",
        "--layout",
        "scan-release",
        "--root",
        str(folder),
        "--out",
        str(folder / "small.h5"),
    ]
    subprocess.run([*COMMAND, *words], check=True)
    return folder / "small.h5"


def environment(cluster: OneNodeCluster) -> dict[str, str]:
    return {**cluster.environment, "OMP_NUM_THREADS": "1"}


def steps_in(folder: Path) -> list[int]:
    """The optimizer steps in a run's metrics.csv, as they stand there."""
    path = folder / "metrics.csv"
    if not path.exists():
        return []
    whole = path.read_text().rpartition("\n")[0]
    return [int(row["step"]) for row in csv.DictReader(whole.splitlines()) if row["train/loss"]]


def wait_for(
    what: str, ready: Callable[[], bool], sweep: subprocess.Popen[str], seconds: float = 600
) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert sweep.poll() is None, f"the sweep ended before {what}\n{sweep.communicate()[0]}"
        assert time.monotonic() < end, f"no sign of {what} in {seconds} s"
        time.sleep(0.1)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"])


def test_the_node_takes_a_job_and_another_cluster_is_not_disturbed(cluster: OneNodeCluster) -> None:
    assert cluster.slurm("srun", "--ntasks=1", "echo", "from the node") == "from the node"
    assert "SLURM_CONF" not in os.environ


def test_srun_starts_the_processes_of_one_run(cluster: OneNodeCluster, store: Path, tmp_path: Path) -> None:
    """Two tasks, as docs/cluster.md starts them, are the run of one process."""
    settings = ["train", f"data.path={store}", *SMALL, "data.batch_size=50", "trainer.max_epochs=1"]
    several = ["trainer=ddp_cpu", "trainer.devices=2", f"run_dir={tmp_path}/two", "resume=auto"]
    done = subprocess.run(
        ["srun", "--ntasks=2", "--ntasks-per-node=2", *COMMAND, *settings, *several],
        env=environment(cluster),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("best.ckpt is of step") == 1  # one of them writes and prints
    one = [*COMMAND, *settings, f"run_dir={tmp_path}/one"]
    subprocess.run(one, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True)
    assert steps_in(tmp_path / "two") == steps_in(tmp_path / "one") == list(range(1, 11))
    first, second = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=1e-3, atol=1e-3)


def test_a_sweep_runs_as_jobs_and_one_queued_again_goes_on_where_it_was(
    cluster: OneNodeCluster, store: Path, tmp_path: Path
) -> None:
    words = ["train", "-m", f"data.path={store}", *SMALL, "seed=0,1,2,3", f"run_dir={tmp_path}/sweep"]
    words += [
        "hydra/launcher=submitit_slurm",
        "hydra.launcher.cpus_per_task=1",
        "hydra.launcher.timeout_min=30",
    ]
    sweep = subprocess.Popen(
        [*COMMAND, *words],
        env=environment(cluster),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    victim = tmp_path / "sweep" / "seed-2"
    try:
        wait_for("the first steps of seed 2", lambda: len(steps_in(victim)) > 25, sweep)
        jobs = dict(
            line.split() for line in cluster.slurm("squeue", "--noheader", "--format=%i %T").splitlines()
        )
        assert len(jobs) == 4, jobs
        job = next(name for name in jobs if name.endswith("_2"))
        cluster.slurm("scontrol", "requeue", job)
        wait_for("the job's end", lambda: cluster.state(job) != "RUNNING", sweep)
        reached = len(steps_in(victim))
        assert 25 < reached < STEPS, "the job was over before it could be stopped"
        assert not (victim / "results.json").exists()
        wait_for("the job's second start", lambda: len(steps_in(victim)) > reached, sweep)
        printed, _ = sweep.communicate(timeout=600)
    finally:
        sweep.kill()
    assert sweep.returncode == 0, printed
    assert re.search(r"Restarts=1\b", cluster.slurm("scontrol", "show", "job", job))
    folders = [tmp_path / "sweep" / f"seed-{seed}" for seed in range(4)]
    for folder in folders:
        assert (folder / "results.json").exists(), printed
        assert steps_in(folder) == list(range(1, STEPS + 1)), "a gap or a double in the series"
    with (tmp_path / "sweep" / "sweep.csv").open() as file:
        assert [row["seed"] for row in csv.DictReader(file)] == ["0", "1", "2", "3"]

    alone = tmp_path / "alone"
    words = ["train", f"data.path={store}", *SMALL, "seed=2", f"run_dir={alone}"]
    subprocess.run([*COMMAND, *words], env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True)
    unbroken, broken = weights(alone), weights(victim)
    assert unbroken.keys() == broken.keys()
    assert all(torch.equal(unbroken[name], broken[name]) for name in unbroken)
    assert not all(torch.equal(unbroken[name], weights(folders[1])[name]) for name in unbroken)

    again = subprocess.run(
        [*COMMAND, "train", "-m", f"data.path={store}", *SMALL, "seed=0,1,2,3", f"run_dir={tmp_path}/sweep"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert again.stdout.count("finished before") == 4
