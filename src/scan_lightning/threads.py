"""How many threads torch starts and how long they wait busily: set before torch is imported, or not at all.

Between two parallel regions libgomp's threads spin, by default for about 3 ms. Beside other busy processes a
spinning thread holds the core that the thread it waits for needs, and a training becomes many times slower;
benchmarks/threads.py measures it. A short spin costs nothing on a quiet machine.
"""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

SPIN_COUNT = "1000"  # about 10 microseconds; libgomp's own default is 300,000
WAITING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
COUNT = "OMP_NUM_THREADS"


def prepare(*, count: bool = True) -> None:
    """Set what OpenMP reads when torch is imported, where the user has not; child processes inherit it.

    Nothing is set once torch is imported: it would have no effect any more.

    Args:
        count: set the number of threads too, where a container's quota allows fewer than the CPUs that torch
            counts, those of the affinity mask. False for joblib, which shares them among its jobs by itself,
            but hands on a number that is set.
    """
    if "torch" in sys.modules:
        return
    if not any(name in os.environ for name in WAITING):
        os.environ["GOMP_SPINCOUNT"] = SPIN_COUNT
    cpus = usable_cpus()
    if count and cpus < _affinity():
        os.environ.setdefault(COUNT, str(cpus))


def usable_cpus(groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> int:
    """The CPUs that this process may really use: its affinity mask and the quotas of its control groups.

    Args:
        groups: the file that names the process's control groups, version 1 or 2.
        root: where they are mounted.

    Returns:
        At least 1; a part of a CPU counts as one.
    """
    try:
        lines = groups.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    cpus = float(_affinity())
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / controllers
        # A container sees its own group as the root, under the name that the host gave it: so all parents.
        inside = mount / path.lstrip("/")
        for folder in (inside, *inside.parents):
            cpus = min(cpus, _quota(folder))
            if folder == mount:
                break
    return max(1, math.ceil(cpus))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota(folder: Path) -> float:
    """The CPUs that a control group may use; infinite without a quota."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota, period = (
                (folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period")
            )
        return int(quota) / int(period) if quota not in ("max", "-1") else math.inf
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf
