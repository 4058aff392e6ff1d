"""What a job computes on: that it is there, and that jobs side by side do not crowd one GPU."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from multiprocessing import current_process
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from scan_lightning.errors import ScanError, ScanWarning
from scan_lightning.threads import usable_cpus


def is_first_process() -> bool:
    """Whether this process warns and reports for all that share a run.

    Lightning, torchrun and srun give each process that they start its number.
    """
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"))


def check_devices(trainer: Mapping[str, Any]) -> None:
    """Refuse a GPU that is not there. Asked by the job, which may run on another machine than the command.

    Raises:
        ScanError: fewer GPUs than the trainer asks for, or all there are where there is none.
    """
    accelerator, devices = trainer.get("accelerator", "auto"), trainer.get("devices", 1)
    if not isinstance(devices, int):
        return  # a list of GPUs or `auto`: Lightning's
    there = 0 if accelerator == "cpu" else _gpus()
    if accelerator not in ("gpu", "cuda", "mps"):
        if there == 0:
            _check_cores(devices)
        return
    wanted = max(devices, 1)  # -1: all there are, one at least
    if there < wanted:
        raise ScanError(
            f"trainer: {wanted} GPU{'s' * (wanted > 1)} asked for, this machine shows {there or 'none'}; "
            + (
                f"give trainer.devices={there}"
                if there
                else "give trainer=cpu, or check the driver (nvidia-smi)"
            )
        )


def _gpus() -> int:
    import torch

    return torch.cuda.device_count() or int(torch.backends.mps.is_available())


def _check_cores(devices: int) -> None:
    """Judge a number of processes on the CPU."""
    cores = usable_cpus()
    if devices == -1:
        raise ScanError(
            "trainer.devices: found -1, every GPU of the machine, but the run is on the CPU; give the number "
            f"of processes, at most {cores} here (one a core)"
        )
    if devices > cores and is_first_process():
        warnings.warn(
            f"trainer.devices={devices}: more processes than cores ({cores}), so they take turns and each "
            f"takes memory; trainer.devices={cores} is faster",
            ScanWarning,
            stacklevel=3,
        )


def shares_terminal() -> bool:
    """Whether this job of a sweep runs beside others."""
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return False
    return not str(HydraConfig.get().launcher.get("_target_", "")).endswith(".BasicLauncher")


def use_own_gpu(launcher: str) -> None:
    """Give each of joblib's worker processes one GPU in turn, before the first use of CUDA there.

    Args:
        launcher: the class path of Hydra's launcher; other launchers place their jobs themselves.
    """
    name = current_process().name  # LokyProcess-3
    if not launcher.endswith(".JoblibLauncher") or "-" not in name or "SCAN_WORKER_GPU" in os.environ:
        return
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = visible.split(",") if visible else [str(index) for index in range(torch.cuda.device_count())]
    if len(gpus) > 1:
        worker = int(name.rsplit("-", 1)[1])
        os.environ["CUDA_VISIBLE_DEVICES"] = os.environ["SCAN_WORKER_GPU"] = gpus[(worker - 1) % len(gpus)]
