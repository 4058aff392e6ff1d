"""A short name for what a run computes: the same on another machine, device count or logger."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

# What changes where and how fast a run goes, or what is kept of it, but not what it computes.
WITHOUT_EFFECT = (
    *(f"trainer.{name}" for name in ("accelerator", "strategy", "devices", "num_nodes", "profiler")),
    *(f"trainer.{name}" for name in ("enable_progress_bar", "enable_model_summary", "log_every_n_steps")),
    "data.workers",
    "data.cache",
    *(f"callbacks.{name}" for name in ("panels", "lr_monitor")),
)
SHARES = ("trainer.devices", "trainer.num_nodes")
WITHOUT_EFFECT_SECTIONS = ("logger", "checkpointing", "run_dir", "resume", "threads", "test_after", "trust")


def config_hash(values: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits of a run's plain configuration.

    Device, worker, logger and folder keys are left out. Of `data.path` only the file's name counts: the
    same store in another place is the same experiment.
    """
    kept = hashed_values(values)
    return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()[:12]


def hashed_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The plain values that `config_hash` digests."""
    kept = copy.deepcopy(dict(values))
    for section in WITHOUT_EFFECT_SECTIONS:
        kept.pop(section, None)
    # With negatives of its own share only, how many processes there are changes what a run computes.
    by_share = (kept.get("loss") or {}).get("negatives_scope") == "local"
    for key in WITHOUT_EFFECT:
        if by_share and key in SHARES:
            continue
        section, name = key.split(".")
        (kept.get(section) or {}).pop(name, None)
    _normalise(kept, str(values.get("run_dir")))
    kept["data"]["path"] = PurePath(str(kept["data"]["path"])).name
    return kept


def _normalise(values: Any, run_dir: str) -> None:
    """Put `${run_dir}` back where a node holds the run's folder, and write 2.0 as 2."""
    for key, value in values.items() if isinstance(values, dict) else enumerate(values):
        if isinstance(value, dict | list):
            _normalise(value, run_dir)
        elif isinstance(value, str) and (value == run_dir or value.startswith(f"{run_dir}/")):
            values[key] = "${run_dir}" + value.removeprefix(run_dir)
        elif isinstance(value, float) and value.is_integer():
            values[key] = int(value)
