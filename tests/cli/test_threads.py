"""What is set before torch is imported: how threads wait, and how many there are."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scan_lightning import cli, threads
from scan_lightning.data.scenes.build import build_scenes

FOUR = {0, 1, 2, 3}


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write a fake /proc/self/cgroup and control groups; returns the CPUs that are usable with them."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: FOUR, raising=False)

    def usable(lines: str, files: dict[str, str]) -> int:
        (tmp_path / "cgroup").write_text(lines)
        for name, text in files.items():
            path = tmp_path / "fs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return threads.usable_cpus(tmp_path / "cgroup", tmp_path / "fs")

    return usable


@pytest.mark.parametrize(
    ("lines", "files", "cpus"),
    [
        ("0::/\n", {}, 4),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 4),
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "10000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "900000 100000\n"}, 4),
        ("0::/pod/job\n", {"pod/job/cpu.max": "max 100000\n", "pod/cpu.max": "300000 100000\n"}, 3),
        (
            "0::/../host/name\n",
            {"cpu.max": "100000 100000\n"},
            1,
        ),  # as a container without a namespace sees it
        ("0::/\n", {"cpu.max": "damaged"}, 4),
        (
            "4:cpu,cpuacct:/docker/1\n2:memory:/docker/1\n0::/\n",
            {"cpu,cpuacct/cpu.cfs_quota_us": "200000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"},
            2,
        ),
        (
            "1:cpu:/job\n",
            {
                "cpu/job/cpu.cfs_quota_us": "50000\n",
                "cpu/job/cpu.cfs_period_us": "50000\n",
                "cpu/cpu.cfs_quota_us": "-1\n",
                "cpu/cpu.cfs_period_us": "100000\n",
            },
            1,
        ),
        ("3:cpuset:/\n", {"cpuset/cpu.cfs_quota_us": "100000\n", "cpuset/cpu.cfs_period_us": "100000\n"}, 4),
    ],
)
def test_usable_cpus_are_the_least_of_affinity_and_quotas(
    cgroup, lines: str, files: dict[str, str], cpus: int
) -> None:
    assert cgroup(lines, files) == cpus


def test_without_control_groups_the_affinity_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {5}, raising=False)
    assert threads.usable_cpus(tmp_path / "missing", tmp_path) == 1
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert threads.usable_cpus(tmp_path / "missing", tmp_path) == 3


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, {"GOMP_SPINCOUNT": threads.SPIN_COUNT, "OMP_NUM_THREADS": "3"}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7", "OMP_NUM_THREADS": "3"}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE", "OMP_NUM_THREADS": "3"}),
        ({"OMP_NUM_THREADS": "9"}, {"GOMP_SPINCOUNT": threads.SPIN_COUNT, "OMP_NUM_THREADS": "9"}),
    ],
)
def test_what_the_user_has_set_stays(
    given: dict[str, str], wanted: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: FOUR, raising=False)
    monkeypatch.setattr(threads, "usable_cpus", lambda: 3)
    monkeypatch.delitem(sys.modules, "torch")
    environment = dict(given)
    monkeypatch.setattr(os, "environ", environment)
    threads.prepare(count=False)
    assert environment.get("OMP_NUM_THREADS") == given.get("OMP_NUM_THREADS")
    threads.prepare()
    assert environment == wanted
    monkeypatch.setattr(threads, "usable_cpus", lambda: 4)  # as many as torch counts
    monkeypatch.setattr(os, "environ", {})
    threads.prepare()
    assert os.environ == {"GOMP_SPINCOUNT": threads.SPIN_COUNT}


def test_nothing_is_set_once_torch_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", sys)
    monkeypatch.setattr(os, "environ", {})
    threads.prepare()
    assert os.environ == {}


def test_every_command_prepares_first(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    called = []
    monkeypatch.setattr(threads, "prepare", lambda count: called.append(count))
    assert cli.main(["--help"]) == 0
    assert cli.main(["train", "--help", "-m", "hydra/launcher=joblib"]) == 0
    assert called == [True, False]


@pytest.mark.parametrize("module", ["scan_lightning.cli", "scan_lightning.reproduce.__main__"])
def test_a_command_starts_without_torch(module: str) -> None:
    subprocess.run(
        [sys.executable, "-c", f"import {module}, sys; assert 'torch' not in sys.modules"], check=True
    )


def test_torch_starts_with_the_threads_and_is_not_imported_before() -> None:
    script = (
        "import json, os, subprocess, sys\n"
        "from scan_lightning import threads\n"
        "threads._affinity = lambda: 64\n"
        "threads.usable_cpus = lambda: 1\n"
        "threads.prepare()\n"
        "before = 'torch' in sys.modules\n"
        "import torch\n"
        "child = [sys.executable, '-c', 'import torch; print(torch.get_num_threads())']\n"
        "found = int(subprocess.check_output(child))\n"
        "print(json.dumps([before, torch.get_num_threads(), found, os.environ['GOMP_SPINCOUNT']]))\n"
    )
    names = (*threads.WAITING, threads.COUNT)
    environment = {name: value for name, value in os.environ.items() if name not in names}
    printed = subprocess.check_output([sys.executable, "-c", script], env=environment, text=True)
    assert json.loads(printed) == [False, 1, 1, threads.SPIN_COUNT]


@pytest.mark.slow
def test_the_benchmark_runs(tmp_path: Path) -> None:
    script = Path(__file__).resolve().parents[2] / "benchmarks" / "threads.py"
    build_scenes(tmp_path / "s.h5", images_dir=tmp_path / "images", train=60, val=4, test=4, progress=False)
    words = ["--steps", "2", "--warmup", "1", "--rounds", "1", "--busy", "0", "1", "--settings", "1 thread"]
    command = [sys.executable, str(script), "--data", "s.h5", "--out", "out", *words]
    printed = subprocess.check_output(command, cwd=tmp_path, text=True)
    assert "| 1 thread |" in printed
    report = json.loads((tmp_path / "out" / "threads.json").read_text())
    assert [row["busy"] for row in report["steps_per_second"]] == [0, 1]
    assert all(row["median"] > 0 for row in report["steps_per_second"])
