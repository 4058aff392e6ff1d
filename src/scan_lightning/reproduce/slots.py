"""Where runs go: one a GPU, or some at a time on the CPU with a share of its cores each."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from scan_lightning.errors import ScanError


@dataclass(frozen=True)
class Slot:
    """A place for one run at a time.

    Args:
        name: for the terminal.
        environment: what its commands get besides the usual environment.
    """

    name: str
    environment: dict[str, str]


def find_slots(jobs: int | None) -> list[Slot]:
    """The slots of this machine.

    Args:
        jobs: how many runs at a time; None: one a GPU, or one on the CPU.

    Raises:
        ScanError: more jobs than GPUs, or than cores where there is none.
    """
    if jobs is not None and jobs < 1:
        raise ScanError(f"jobs is {jobs}; expected at least 1")
    devices = _visible()
    if devices:
        if jobs is not None and jobs > len(devices):
            raise ScanError(f"{jobs} runs at a time on {len(devices)} GPUs; give at most one a GPU")
        return [
            Slot(f"GPU {device}", {"CUDA_VISIBLE_DEVICES": device})
            for device in devices[: jobs or len(devices)]
        ]
    cores = len(os.sched_getaffinity(0))
    if jobs is not None and jobs > cores:
        raise ScanError(f"{jobs} runs at a time on {cores} cores; give at most one a core")
    if jobs is None or jobs == 1:
        return [Slot("CPU", {})]
    threads = {"OMP_NUM_THREADS": str(cores // jobs)}
    return [Slot(f"CPU {number}", threads) for number in range(1, jobs + 1)]


def _visible() -> list[str]:
    """The GPUs this process may use, by the names that CUDA_VISIBLE_DEVICES takes."""
    count = torch.cuda.device_count()
    given = [word for word in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if word]
    return given[:count] if given else [str(number) for number in range(count)]
