"""From where a run starts: nothing, or a checkpoint that is checked before anything else happens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scan_lightning.config.run_hash import hashed_values
from scan_lightning.config.schema import TrainConfig, plain
from scan_lightning.data.datamodule import ScanDataModule
from scan_lightning.errors import ScanError
from scan_lightning.flatten import flatten
from scan_lightning.model.checkpoint import read_checkpoint
from scan_lightning.specification import specification
from scan_lightning.training.callbacks.run_folder import CONFIG

LENGTH = ("trainer.max_epochs", "trainer.max_steps")  # a run may be made longer when it is resumed


@dataclass(frozen=True)
class ResumePoint:
    """A checkpoint that fits the run.

    Attributes:
        path: the file.
        step: optimizer steps done.
        seconds: wall time that led to it.
        model: the specification of its model.
    """

    path: Path
    step: int
    seconds: float
    model: Mapping[str, Any]

    @property
    def series(self) -> Path:
        """The metrics.csv that the run wrote so far."""
        return self.path.parent.parent / "metrics.csv"

    @property
    def best(self) -> Path | None:
        """The best checkpoint beside it."""
        best = self.path.parent / "best.ckpt"
        return best if best.exists() else None


def resume_point(config: TrainConfig, run_dir: Path) -> ResumePoint | None:
    """Return the checkpoint to resume from, or None to start from nothing.

    Raises:
        ScanError: the folder holds a run that would be overwritten, or the checkpoint is unusable or belongs
            to a run of other settings.
    """
    last = run_dir / "checkpoints" / "last.ckpt"
    if config.resume is None:
        if last.exists():
            raise ScanError(
                f"run_dir: {run_dir} holds a run already; resume=auto resumes it, another run_dir starts a "
                "new one"
            )
        return None
    if config.resume == "auto":
        return _checked(last, config) if last.exists() else None
    path = Path(config.resume)
    if last.exists() and path.resolve().parent != last.resolve().parent:
        raise ScanError(
            f"run_dir: {run_dir} holds a run already, and not that of {path}; give the folder of that run, "
            "or a new one"
        )
    return _checked(path, config)


def check_data(point: ResumePoint, data: ScanDataModule) -> None:
    """Refuse a store that is not the one the run began with.

    Raises:
        ScanError: another feature width, or other words.
    """
    width, path = point.model.get("feature_dim"), data.store.path
    if width != data.feature_dim:
        raise ScanError(
            f"{path}: its features are {data.feature_dim} wide, those {point.path} was trained on "
            f"{width}; give the store the run began with"
        )
    before = point.model.get("vocabulary") or {}
    if before != specification(data.vocabulary):
        raise ScanError(
            f"{path}: its vocabulary has {len(data.vocabulary)} words and is not that of "
            f"{point.path} ({len(before.get('words', []))} words); give the store the run began with"
        )


def finished(config: TrainConfig, run_dir: Path) -> bool:
    """Whether the run in a folder has ended, and was not asked for more epochs or steps since."""
    try:
        record = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))
        before = yaml.safe_load((run_dir / "config.yaml").read_text(encoding="utf-8"))
        old, new = (flatten(values["trainer"]) for values in (before, plain(config)))
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return False
    names = [key.removeprefix("trainer.") for key in LENGTH]
    same = all(old.get(name, -1) == new.get(name, -1) for name in names)
    return bool(record.get("status") == "done" and same)


def _checked(path: Path, config: TrainConfig) -> ResumePoint:
    content = read_checkpoint(path, lazily=True)
    state = content.get(CONFIG)
    if not isinstance(state, dict) or not content.get("optimizer_states") or "loops" not in content:
        raise ScanError(
            f"{path}: holds a model but not the state of a training run, so nothing can be resumed from it; "
            "give a run's checkpoints/last.ckpt (or init_from=CKPT to start a new run from its weights)"
        )
    _check_settings(path, state["config"], config)
    return ResumePoint(
        path, int(content["global_step"]), state["seconds"], content["hyper_parameters"]["model"]
    )


def _check_settings(path: Path, before: Mapping[str, Any], now: TrainConfig) -> None:
    old, new = flatten(hashed_values(before)), flatten(hashed_values(plain(now)))
    ignored = (*LENGTH, "data.path")  # a store may be moved; its content is compared later
    changed = [key for key in {**old, **new} if old.get(key) != new.get(key) and key not in ignored]
    if changed:
        lines = "\n".join(
            f"  {key}: {old.get(key, 'not set')} there, {new.get(key, 'not set')} now" for key in changed
        )
        raise ScanError(
            f"{path}: belongs to a run of other settings, and a run is resumed as it began\n{lines}\n"
            "give the settings it began with (they are in its folder's config.yaml), or start a new run"
        )
