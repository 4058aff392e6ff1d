"""The jobs a command line asks for, each composed and checked before the first one starts."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from scan_lightning.config import checks
from scan_lightning.config.command import Command, Request, without_option
from scan_lightning.config.conf_dir import conf_dir
from scan_lightning.config.devices import is_first_process
from scan_lightning.config.nodes import MISSING
from scan_lightning.config.overrides import check_overrides, text
from scan_lightning.config.problems import Problem, report
from scan_lightning.config.validate import checked
from scan_lightning.errors import ScanError, ScanWarning
from scan_lightning.options import options_of

# Sections that take any key of the class they name, without Hydra's `+`; its signature is checked later.
OPEN = ("data", "attention", "model", "loss", "optimizer", "scheduler", "trainer", "callbacks", "logger")


@dataclass(frozen=True)
class Job:
    """One run: where it writes and which values of the sweep are its own."""

    folder: Path
    swept: dict[str, str]


@dataclass(frozen=True)
class Plan:
    """What Hydra is started with.

    Args:
        overrides: the checked words, with the folder pinned (a time of day would differ when read again).
        multirun: a sweep.
        folder: the run's folder; of a sweep, the parent.
        swept: the keys with several values.
        jobs: of a grid; empty for a single run, and when the sweeper chooses the values as it goes (Optuna).
    """

    overrides: list[str]
    multirun: bool
    folder: Path
    swept: list[str]
    jobs: list[Job]


def make_plan(command: Command, request: Request) -> Plan:
    """Compose and check every job.

    Raises:
        ScanError: all problems of all jobs in one message.
    """
    with _hydra():
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        multirun = request.multirun or any(word.startswith("sweep=") for word in request.overrides)
        given, problems = check_overrides(request.overrides, command, request, parser, multirun=multirun)
        fixed = [text(override) for override in given if not override.is_sweep_override()]
        fixed += _search_path(request)
        base = _compose(request, fixed)
        values = plain_values(base, command.schema)
        if not isinstance(values.get("run_dir"), str | int | float) or values["run_dir"] == MISSING:
            # Hydra names its own folders by it, so nothing further can be composed.
            raise report([*problems, *checked(command.schema, values)[1]])
        if multirun:
            lines = [f"{key}={value}" for key, value in (base.hydra.sweeper.get("params") or {}).items()]
            parameters, more = check_overrides(lines, command, request, parser, multirun=True)
            problems += more
            given = [*parameters, *given]
        swept = list(dict.fromkeys(item.key_or_group for item in given if item.is_sweep_override()))
        pinned = _pinned(base, swept, given, multirun)
        launched = (
            [text(override) for override in given if override.is_hydra_override()]
            + _search_path(request)
            + pinned
        )
        grid = _grid(base, given) if multirun else []
        composed = [_compose(request, [*words, *launched]) for words in grid] or [base]
        keys = {override.key_or_group for override in given}
        jobs = [_job(cfg, swept, number) for number, cfg in enumerate(composed)] if grid else []
        folder = Path(base.hydra.sweep.dir if multirun else base.hydra.run.dir)
        folders = [job.folder for job in jobs] or [folder]
        problems += _check(command, composed, folders, keys, multirun)
        if problems:
            raise report(problems)
    words = [
        word for word in request.overrides if not word.startswith(("hydra.run.dir=", "hydra.sweep.dir="))
    ]
    return Plan([*words, *_search_path(request), *pinned], multirun, folder, swept, jobs)


def compose_config(schema: type[Any], config_name: str, overrides: list[str]) -> Any:
    """The checked config that a command would get, without Hydra's part and folders.

    Raises:
        ScanError: all problems in one message.
    """
    with _hydra():
        words = [without_option(word) for word in overrides]
        cfg = _compose(Request(words, [], False, False, False, [], config_name), words)
        values = plain_values(cfg, schema)
    config, problems = checked(schema, values)
    if problems:
        raise report(problems)
    return config


def unchecked(request: Request) -> DictConfig:
    """The composed config with Hydra's part, unchecked, so that a faulty one can be looked at."""
    with _hydra():
        return _compose(request, [*request.overrides, *_search_path(request)])


def _check(
    command: Command, composed: list[DictConfig], folders: list[Path], given: set[str], multirun: bool
) -> list[Problem]:
    problems: list[Problem] = []
    notes: dict[str, None] = {}
    for cfg, folder in zip(composed, folders, strict=True):
        values = plain_values(cfg, command.schema, folder)
        config, found = checked(command.schema, values)
        problems += [*found, *checks.missing_files(values)]
        if config is not None:
            problems += checks.contradictions(config)
            problems += checks.launching(config, cfg.hydra.launcher, given, multirun=multirun)
            notes.update(dict.fromkeys(checks.without_effect(config, given)))
    problems += checks.unwritable(folders[0].parent if multirun else folders[0])
    if not problems and is_first_process():
        for note in notes:
            warnings.warn(note, ScanWarning, stacklevel=2)
    return problems


def plain_values(cfg: DictConfig, schema: type[Any], folder: Path | None = None) -> dict[str, Any]:
    """The run's own values, interpolations resolved, without Hydra's.

    Args:
        cfg: composed.
        schema: whose sections are wanted; those of a user's own groups only serve interpolations.
        folder: of the job, which `${run_dir}` means.
    """
    own = OmegaConf.masked_copy(cfg, _sections(cfg))
    if folder is not None:
        with open_dict(own), read_write(own):
            own.run_dir = str(folder)
    known = set(options_of(schema))
    try:
        values = OmegaConf.to_container(own, resolve=True)
    except OmegaConfBaseException as error:
        raise ScanError(f"the configuration cannot be resolved: {error}") from error
    assert isinstance(values, dict)
    loose = {str(key) for key in cfg if isinstance(cfg.get(key), DictConfig)} - known
    if values.get("scheduler") == {}:  # `scheduler=null`
        values["scheduler"] = None
    return {str(key): value for key, value in values.items() if str(key) not in loose}


def _sections(cfg: DictConfig) -> list[str]:
    return [str(key) for key in cfg if key != "hydra"]


def _grid(base: DictConfig, given: list[Override]) -> list[list[str]]:
    """Every job's overrides, or nothing when the sweeper is not Hydra's own grid."""
    if not str(base.hydra.sweeper._target_).endswith(".BasicSweeper"):
        return []
    return BasicSweeper.split_arguments([item for item in given if not item.is_hydra_override()], None)[0]


def _pinned(base: DictConfig, swept: list[str], given: list[Override], multirun: bool) -> list[str]:
    if not multirun:
        return [f"hydra.run.dir={_quoted(base.hydra.run.dir)}"]
    words = [f"hydra.sweep.dir={_quoted(base.hydra.sweep.dir)}"]
    # A subfolder is named by the swept overrides alone: what all jobs share says nothing.
    fixed = sorted({item.key_or_group for item in given if not item.is_hydra_override()} - set(swept))
    words.append(f"hydra.job.config.override_dirname.exclude_keys=[{','.join(fixed)}]")
    if not swept and not any(item.key_or_group == "hydra.sweep.subdir" for item in given):
        words.append("hydra.sweep.subdir=0")
    return words


def _job(cfg: DictConfig, swept: list[str], number: int) -> Job:
    with read_write(cfg):
        cfg.hydra.job.num = number  # a subfolder may be named by it
    values = dict(word.lstrip("+").partition("=")[::2] for word in cfg.hydra.overrides.task)
    folder = Path(cfg.hydra.sweep.dir) / str(cfg.hydra.sweep.subdir)
    return Job(folder, {key: values[key] for key in swept})


def _quoted(path: str) -> str:
    escaped = os.path.expanduser(str(path)).replace('"', '\\"')  # noqa: PTH111
    return f'"{escaped}"'


def _search_path(request: Request) -> list[str]:
    if not request.config_dirs:
        return []
    return [
        "hydra.searchpath=[" + ",".join(_quoted(f"file://{folder}") for folder in request.config_dirs) + "]"
    ]


@contextmanager
def _hydra() -> Iterator[None]:
    store_open_sections()
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        yield


def store_open_sections() -> None:
    """Register `open_sections`, the first of the defaults: sections that take new keys without a `+`."""
    sections = {name: DictConfig({}, flags={"struct": False}) for name in OPEN}
    ConfigStore.instance().store("open_sections", DictConfig(sections))


def _compose(request: Request, overrides: list[str]) -> DictConfig:
    try:
        return compose(request.config_name, overrides=overrides, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        cause = f"\n{error.__cause__}" if isinstance(error.__cause__, OmegaConfBaseException) else ""
        raise ScanError(
            f"the configuration cannot be composed: {error}{cause}{_extra(str(error))}"
        ) from error


def _extra(message: str) -> str:
    for name, extra in {"joblib": "joblib", "submitit": "slurm", "optuna": "optuna"}.items():
        if f"hydra/launcher/{name}" in message or f"hydra/sweeper/{name}" in message:
            return f"\nIt is an optional part: pip install 'scan-lightning[{extra}]'"
    return ""
