"""From where a run starts: nothing, or a checkpoint that is checked before anything else happens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scan_lightning.config import TrainConfig
from scan_lightning.data.datamodule import ScanDataModule
from scan_lightning.errors import ScanError
from scan_lightning.model.checkpoint import EXPECTED, load
from scan_lightning.model.safe_load import load_plain
from scan_lightning.run_hash import hashed_values
from scan_lightning.training.saving import Saving

LENGTH = ("trainer.max_epochs", "trainer.max_steps")  # a run may be made longer when it goes on


@dataclass(frozen=True)
class ResumePoint:
    """A checkpoint that fits the run.

    Attributes:
        path: the file.
        step: optimizer steps done.
        validated: whether the state was validated.
        best: figures of the best validation so far; empty when there was none.
        seconds: wall time that led to it.
    """

    path: Path
    step: int
    validated: bool
    best: dict[str, Any]
    seconds: float

    @property
    def series(self) -> Path:
        """The metrics.csv that the run wrote so far."""
        return self.path.parent.parent / "metrics.csv"


def resume_point(config: TrainConfig, run_dir: Path) -> ResumePoint | None:
    """Return the checkpoint to go on from, or None to start from nothing.

    Raises:
        ScanError: the folder holds a run that would be overwritten, or the checkpoint is unusable or belongs
            to a run of other settings.
    """
    last = run_dir / "checkpoints" / "last.ckpt"
    if config.resume is None:
        if last.exists():
            raise ScanError(
                f"run_dir: {run_dir} holds a run already; resume=auto goes on with it, "
                "another run_dir starts a new one"
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
    trained = load(point.path)
    if trained.feature_dim != data.feature_dim:
        raise ScanError(
            f"{data.store.path}: its features are {data.feature_dim} wide, those {point.path} was trained on "
            f"{trained.feature_dim}; give the store the run began with"
        )
    if trained.vocabulary.words != data.vocabulary.words or trained.tokenizer_name != data.store.tokenizer:
        raise ScanError(
            f"{data.store.path}: its vocabulary has {len(data.vocabulary)} words and is not that of "
            f"{point.path} ({len(trained.vocabulary)} words); give the store the run began with"
        )


def read_point(path: Path) -> ResumePoint:
    """Read where a training run stood when it wrote a checkpoint.

    Raises:
        ScanError: the checkpoint holds no state of a training run.
    """
    content = load_plain(path, expected=EXPECTED, lazily=True)
    state = content.get("callbacks", {}).get(Saving.__qualname__)
    if state is None or not content.get("optimizer_states") or "loops" not in content:
        raise ScanError(
            f"{path}: holds a model but not the state of a training run, so nothing can go on from it; "
            "give a run's checkpoints/last.ckpt"
        )
    step = int(content["global_step"])
    return ResumePoint(path, step, state["validated_step"] == step, state["best"], state["seconds"])


def _checked(path: Path, config: TrainConfig) -> ResumePoint:
    _check_settings(path, load(path).config, config)
    return read_point(path)


def _check_settings(path: Path, before: TrainConfig, now: TrainConfig) -> None:
    old, new = _flat(hashed_values(before)), _flat(hashed_values(now))
    ignored = (*LENGTH, "data.path")  # a store may be moved; its content is compared later
    changed = [key for key in old if old[key] != new[key] and key not in ignored]
    if changed:
        lines = "\n".join(f"  {key}: {old[key]} there, {new[key]} now" for key in changed)
        raise ScanError(
            f"{path}: belongs to a run of other settings, and a run goes on as it began\n{lines}\n"
            "give the settings it began with (they are in its folder's config.yaml), or start a new run"
        )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat
