"""What a job computes on: that it is there, and that jobs side by side do not crowd one GPU."""

from __future__ import annotations

import os
from multiprocessing import current_process

from scan_lightning.config import Accelerator, TrainerConfig
from scan_lightning.errors import ScanError


def check_devices(trainer: TrainerConfig) -> None:
    """Refuse a GPU that is not there. Asked by the job, which may run on another machine than the command.

    Raises:
        ScanError: fewer GPUs than the trainer asks for.
    """
    if trainer.accelerator is not Accelerator.gpu:
        return
    import torch

    there = torch.cuda.device_count() or int(torch.backends.mps.is_available())
    wanted = max(trainer.devices, 1)  # -1: all there are, one at least
    if there < wanted:
        raise ScanError(
            f"trainer: {wanted} GPU{'s' * (wanted > 1)} asked for, this machine shows {there or 'none'}; "
            + (
                f"give trainer.devices={there}"
                if there
                else "give trainer=cpu, or check the driver (nvidia-smi)"
            )
        )


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
