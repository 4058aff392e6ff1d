"""The console commands that make up a run, and whether each still has to be given."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from scan_lightning.conf_dir import conf_dir
from scan_lightning.config import TrainConfig
from scan_lightning.errors import ScanError
from scan_lightning.launch.sweep import finished
from scan_lightning.reproduce.place import Place, evaluation_folder
from scan_lightning.reproduce.tables import Ensemble, Protocol, Row, Table
from scan_lightning.validate import build

COMMAND = [sys.executable, "-m", "scan_lightning"]


@dataclass(frozen=True)
class Step:
    """One console command of a run.

    Args:
        what: for the terminal.
        words: the command line after `scan-lightning`.
    """

    what: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Work:
    """What is left to do for a row or an ensemble, in this order."""

    name: str
    seed: int
    steps: tuple[Step, ...]


def row_work(table: Table, place: Place, row: Row, seed: int) -> Work:
    """Train what is not trained, evaluate what is not evaluated.

    Raises:
        ScanError: the run's folder holds a run of another configuration.
    """
    folder = place.run(row.name, seed)
    words = [
        f"experiment={row.experiment}",
        f"data.path={quoted(place.store)}",
        f"seed={seed}",
        *table.overrides,
    ]
    steps = []
    trained = _trained(folder, words)
    if not trained:
        steps.append(Step("train", ("train", *words, f"run_dir={quoted(folder)}", "resume=auto")))
    best = folder / "checkpoints" / "best.ckpt"
    for protocol in table.protocols:
        out = folder / evaluation_folder(protocol)
        if not (trained and _newer(out / "results.json", best)):
            command = ("evaluate", f"checkpoint={quoted(best)}", *_evaluation(place, protocol, out))
            steps.append(Step(f"evaluate {protocol.name}", command))
    return Work(row.name, seed, tuple(steps))


def ensemble_work(table: Table, place: Place, ensemble: Ensemble, seed: int) -> Work:
    """Evaluate the ensemble where that is not done.

    Raises:
        ScanError: a member is not trained.
    """
    runs = [place.run(member, seed) for member in ensemble.members]
    missing = [run.name for run in runs if not (run / "results.json").exists()]
    if missing:
        raise ScanError(f"{' and '.join(missing)} not trained")
    best = [run / "checkpoints" / "best.ckpt" for run in runs]
    steps = []
    for protocol in table.protocols:
        out = place.run(ensemble.name, seed) / evaluation_folder(protocol)
        if not all(_newer(out / "results.json", checkpoint) for checkpoint in best):
            checkpoints = f"checkpoints=[{','.join(quoted(checkpoint) for checkpoint in best)}]"
            words = _evaluation(place, protocol, out)
            steps.append(Step(f"evaluate {protocol.name}", ("ensemble", checkpoints, *words)))
    return Work(ensemble.name, seed, tuple(steps))


def quoted(value: object) -> str:
    """A value as Hydra reads it back unchanged, whatever it holds.

    >>> quoted("a=b, c")
    '"a=b, c"'
    """
    escaped = str(value).replace('"', '\\"')
    return f'"{escaped}"'


def _evaluation(place: Place, protocol: Protocol, out: Path) -> tuple[str, ...]:
    return (
        f"data.path={quoted(place.store)}",
        "split=test",
        f"folds={protocol.folds}",
        f"run_dir={quoted(out)}",
    )


def _trained(folder: Path, words: list[str]) -> bool:
    config = compose_train([*words, f"run_dir={quoted(folder)}"])
    return finished(folder, config) and (folder / "checkpoints" / "best.ckpt").exists()


def compose_train(words: list[str]) -> TrainConfig:
    """The configuration that `scan-lightning train WORDS` runs."""
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        values = OmegaConf.to_container(compose("config", overrides=words), resolve=True)
    assert isinstance(values, dict)
    return build(TrainConfig, {str(key): value for key, value in values.items()})


def _newer(path: Path, than: Path) -> bool:
    return path.exists() and path.stat().st_mtime >= than.stat().st_mtime
