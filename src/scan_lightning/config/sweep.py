"""One job of a sweep: skipped when finished, continued when stopped, and no reason for the others to stop."""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig

from scan_lightning.config.command import Command
from scan_lightning.config.devices import check_devices, use_own_gpu
from scan_lightning.config.run_hash import config_hash
from scan_lightning.config.schema import plain
from scan_lightning.errors import ScanError
from scan_lightning.files import write_text

ERROR_FILE = "error.txt"  # why a job of a sweep failed; gone when it runs again


def run_sweep_job(command: Command, config: Any, folder: Path, total: int | None) -> float | None:
    """Run a job; what it raises goes into its folder.

    Args:
        command: train or evaluate.
        config: the job's checked config.
        folder: its subfolder of the sweep's.
        total: jobs of the sweep, for the headline; None when not known.

    Returns:
        The recall sum, what an optimising sweeper maximises; None when the job failed.
    """
    number = HydraConfig.get().job.num
    headline = f"[{number + 1}{f'/{total}' if total else ''}] {folder.name}"
    error_file = folder / ERROR_FILE
    error_file.unlink(missing_ok=True)
    use_own_gpu(str(HydraConfig.get().launcher.get("_target_", "")))
    try:
        if command.continues:
            if finished(folder, config):
                print(f"{headline}: finished before, skipped", flush=True)
                return _rsum(json.loads((folder / "results.json").read_text(encoding="utf-8")))
            if config.resume is None:
                config.resume = "auto"
        print(headline, flush=True)
        check_devices(config.trainer)
        return _rsum(command.execute(config, folder))
    except Exception as error:
        message = str(error) if isinstance(error, ScanError) else traceback.format_exc()
        write_text(error_file, message)
        print(f"{headline}: failed, see the end of the sweep", file=sys.stderr, flush=True)
        return None


def finished(folder: Path, config: Any) -> bool:
    """Whether `folder` holds this very run, complete.

    Raises:
        ScanError: it holds a run of another configuration, which would be overwritten.
    """
    record = folder / "config.yaml"
    if not record.exists():
        return False
    try:
        recorded = yaml.safe_load(record.read_text(encoding="utf-8"))
        same = _same(recorded, plain(config))
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):  # cut short by a failed start
        same = False
    if same:
        return (folder / "results.json").exists()
    if (folder / "checkpoints").exists() or (folder / "results.json").exists():
        raise ScanError(
            f"{folder} holds a run of another configuration (see its config.yaml); "
            "choose another run_dir, or remove the folder"
        )
    return False


def _same(recorded: dict[str, Any], values: dict[str, Any]) -> bool:
    # The hash forgets the store's folder; beside a finished run the full path is known, and two stores may
    # have one name.
    paths = [Path(str(config["data"]["path"])).resolve() for config in (recorded, values)]
    return paths[0] == paths[1] and config_hash(recorded) == config_hash(values)


def _rsum(results: dict[str, Any]) -> float | None:
    return float(results["rsum"]) if "rsum" in results else None
