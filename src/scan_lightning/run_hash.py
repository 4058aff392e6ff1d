"""A short name for what a run computes: the same on another machine, device count or logger."""

from __future__ import annotations

import hashlib
import json
from pathlib import PurePath
from typing import Any

from scan_lightning.choices import NegativesScope
from scan_lightning.config import plain

# What changes where and how fast a run goes, or what is kept of it, but not what it computes.
WITHOUT_EFFECT = (
    "trainer.accelerator",
    "trainer.strategy",
    "trainer.devices",
    "trainer.nodes",
    "data.workers",
    "data.cache",
)
SHARES = ("trainer.devices", "trainer.nodes")
WITHOUT_EFFECT_SECTIONS = ("logger", "checkpointing", "run_dir", "resume")


def config_hash(config: object) -> str:
    """Twelve hexadecimal digits of a `TrainConfig`, `EvaluateConfig` or `EnsembleConfig`.

    Device, worker, logger and folder keys are left out. Of `data.path` only the file's name counts: the
    same store in another place is the same experiment.
    """
    values = hashed_values(config)
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def hashed_values(config: object) -> dict[str, Any]:
    """The plain values that `config_hash` digests."""
    values = plain(config)
    for section in WITHOUT_EFFECT_SECTIONS:
        values.pop(section, None)
    # With negatives of its own share only, how many processes there are changes what a run computes.
    by_share = values.get("loss", {}).get("negatives_scope") == NegativesScope.own_share
    for key in WITHOUT_EFFECT:
        if by_share and key in SHARES:
            continue
        section, name = key.split(".")
        values.get(section, {}).pop(name, None)
    values["data"]["path"] = PurePath(values["data"]["path"]).name
    return values
