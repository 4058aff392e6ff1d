"""The jobs a command line asks for, each composed and checked before the first one starts."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, read_write

from scan_lightning.config import checks
from scan_lightning.config.command import Command, Request
from scan_lightning.config.compose import compose_words, hydra_session, plain_values, quoted
from scan_lightning.config.devices import is_first_process
from scan_lightning.config.nodes import MISSING, known_keys
from scan_lightning.config.overrides import OverrideCheck, refused, text
from scan_lightning.config.problems import Problem, report
from scan_lightning.config.validate import checked
from scan_lightning.errors import ScanError, ScanWarning, plain_warnings


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
    with hydra_session(request.config_dirs):
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        multirun = request.multirun or any(word.startswith("sweep=") for word in request.overrides)
        check = OverrideCheck(command, request, parser, lambda: _known(command, request))
        given, problems = check(request.overrides, multirun=multirun)
        base, given, more = _composable(request, given)
        problems += more
        values = plain_values(base, command.schema)
        if str(values.get("run_dir") or "").strip() in ("", MISSING) or isinstance(values["run_dir"], list):
            # Hydra names its own folders by it, so nothing further can be composed.
            raise report([*problems, *checked(command.schema, values)[1]])
        if multirun:
            lines = [f"{key}={value}" for key, value in (base.hydra.sweeper.get("params") or {}).items()]
            parameters, more = check(lines, multirun=True)
            problems += more
            given = [*parameters, *given]
        swept = list(dict.fromkeys(item.key_or_group for item in given if item.is_sweep_override()))
        pinned = _pinned(base, swept, given, multirun)
        launched = [text(override) for override in given if override.is_hydra_override()] + pinned
        grid = _grid(base, given) if multirun else []
        composed = [compose_words(request, [*words, *launched]) for words in grid] or [base]
        keys = {override.key_or_group for override in given}
        jobs = [_job(cfg, swept, number) for number, cfg in enumerate(composed)] if grid else []
        folder = Path(base.hydra.sweep.dir if multirun else base.hydra.run.dir).expanduser()
        folders = [job.folder for job in jobs] or [folder]
        problems += _check(command, composed, folders, keys, multirun)
        if problems:
            raise report(problems)
    words = [
        word for word in request.overrides if not word.startswith(("hydra.run.dir=", "hydra.sweep.dir="))
    ]
    return Plan([*words, *pinned], multirun, folder, swept, jobs)


def _known(command: Command, request: Request) -> list[str]:
    """Every key that the command takes without any override."""
    return known_keys(command.schema, plain_values(compose_words(request, []), command.schema))


def _composable(request: Request, given: list[Override]) -> tuple[DictConfig, list[Override], list[Problem]]:
    """The config of what is not swept, what Hydra takes, and a problem for each that it refuses."""

    def words(overrides: list[Override]) -> list[str]:
        return [text(override) for override in overrides if not override.is_sweep_override()]

    try:
        return compose_words(request, words(given)), given, []
    except ScanError:
        taken: list[Override] = []
        problems: list[Problem] = []
        for override in given:
            try:
                compose_words(request, words([*taken, override]))
                taken.append(override)
            except ScanError as error:
                problems.append(refused(override, str(error)))
        return compose_words(request, words(taken)), taken, problems


def _check(
    command: Command, composed: list[DictConfig], folders: list[Path], given: set[str], multirun: bool
) -> list[Problem]:
    problems: list[Problem] = []
    notes: dict[str, None] = {}
    for cfg, folder in zip(composed, folders, strict=True):
        values = plain_values(cfg, command.schema, folder)
        config, found = checked(command.schema, values)
        problems += [*found, *checks.missing_files(values), *checks.contradictions(command.schema, values)]
        problems += checks.launching(values, cfg.hydra.launcher, given, multirun=multirun)
        if config is not None:
            notes.update(dict.fromkeys(checks.without_effect(config, given)))
    problems += checks.unwritable(folders[0].parent if multirun else folders[0])
    if not problems and is_first_process():
        with plain_warnings():
            for note in notes:
                warnings.warn(note, ScanWarning, stacklevel=2)
    return problems


def _grid(base: DictConfig, given: list[Override]) -> list[list[str]]:
    """Every job's overrides, or nothing when the sweeper is not Hydra's own grid."""
    if not str(base.hydra.sweeper._target_).endswith(".BasicSweeper"):
        return []
    return BasicSweeper.split_arguments([item for item in given if not item.is_hydra_override()], None)[0]


def _pinned(base: DictConfig, swept: list[str], given: list[Override], multirun: bool) -> list[str]:
    if not multirun:
        return [f"hydra.run.dir={quoted(base.hydra.run.dir)}"]
    words = [f"hydra.sweep.dir={quoted(base.hydra.sweep.dir)}"]
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
