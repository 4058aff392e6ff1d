"""Runs a Hydra command: check everything, then start the one run or the sweep."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from scan_lightning.config import sweep_summary
from scan_lightning.config.command import Command, Request, read_request
from scan_lightning.config.compose import plain_values, store_open_sections
from scan_lightning.config.conf_dir import conf_dir
from scan_lightning.config.devices import check_devices
from scan_lightning.config.folders import run_folders
from scan_lightning.config.help import help_text
from scan_lightning.config.plan import Plan, make_plan
from scan_lightning.config.problems import report
from scan_lightning.config.sweep import run_sweep_job
from scan_lightning.config.validate import checked
from scan_lightning.errors import plain_warnings
from scan_lightning.specification import WORKING_DIRECTORY


def launch(command: Command, arguments: list[str]) -> int:
    """Run `scan-lightning COMMAND ARGUMENTS` and return the status.

    Raises:
        ScanError: faults of the configuration, or what the single run raises.
    """
    with _working_directory():
        return _launch(command, arguments)


@contextmanager
def _working_directory() -> Iterator[None]:
    """Tell the processes that are started within the block where the command was given."""
    outer = os.environ.get(WORKING_DIRECTORY)
    os.environ[WORKING_DIRECTORY] = outer or str(Path.cwd())
    try:
        yield
    finally:
        if outer is None:
            del os.environ[WORKING_DIRECTORY]


def _launch(command: Command, arguments: list[str]) -> int:
    request = read_request(command, arguments)
    if request.help:
        print(help_text(command, request), end="")
        return 0
    if request.prints:
        words = [*request.overrides, *request.flags]
        _start_hydra(command, request, lambda cfg: None, words, multirun=False)
        return 0
    plan = make_plan(command, request)
    with run_folders(plan.folder, [job.folder for job in plan.jobs]):
        if plan.multirun:
            return _sweep(command, request, plan)
        _single(command, request, plan)
        return 0


def _single(command: Command, request: Request, plan: Plan) -> None:
    # Hydra prints what a job raises and ends the process with status 1; the command has its own statuses.
    raised: list[Exception] = []

    def task(cfg: DictConfig) -> None:
        try:
            config, folder = _job(command, cfg)
            check_devices(config.trainer)
            command.execute(config, folder)
        except Exception as error:
            raised.append(error)

    _start_hydra(command, request, task, plan.overrides, multirun=False)
    if raised:
        raise raised[0]


def _sweep(command: Command, request: Request, plan: Plan) -> int:
    total = len(plan.jobs) or None

    def task(cfg: DictConfig) -> float | None:
        config, folder = _job(command, cfg)
        return run_sweep_job(command, config, folder, total)

    launched = True
    try:
        _start_hydra(command, request, task, plan.overrides, multirun=True)
    except SystemExit:  # the launcher itself failed, as when Slurm cancels a job; Hydra has printed it
        launched = False
    status = sweep_summary.summarise(command.name, plan.folder, plan.swept, plan.jobs)
    return status if launched else 1


def _job(command: Command, cfg: DictConfig) -> tuple[Any, Path]:
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    values = plain_values(cfg, command.schema, folder)
    _resolve_paths(values, Path(hydra_config.runtime.cwd), moved=bool(hydra_config.job.chdir))
    config, problems = checked(command.schema, values)
    if problems:
        raise report(problems)
    return config, folder


def _resolve_paths(values: dict[str, Any], cwd: Path, *, moved: bool) -> None:
    """Make paths what they were where the command was given: `~`, and all when the job changes folder."""

    def resolved(path: Any) -> Any:
        if not isinstance(path, str) or path == "auto":
            return path
        place = Path(path).expanduser()
        return str(cwd / place) if moved else str(place)

    for key in ("checkpoint", "resume", "init_from"):
        if key in values:
            values[key] = resolved(values[key])
    if "checkpoints" in values:
        values["checkpoints"] = [resolved(path) for path in values["checkpoints"]]
    values["data"]["path"] = resolved(values["data"]["path"])


def _start_hydra(
    command: Command, request: Request, task: Any, overrides: list[str], *, multirun: bool
) -> None:
    """Hand over to Hydra, which reads its words from `sys.argv`.

    While a job runs `sys.argv` is the original again: Lightning's DDP starts the other processes of a job by
    repeating it, and a command line without its subcommand would not start.
    """
    original = sys.argv

    def with_own_argv(cfg: DictConfig) -> Any:
        with _argv(original), plain_warnings():
            return task(cfg)

    words = [original[0], *(["--multirun"] if multirun else []), *overrides]
    for folder in request.config_dirs:
        words += ["--config-dir", str(folder)]
    store_open_sections()
    start = hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=request.config_name)
    with _argv(words):
        start(with_own_argv)()


@contextmanager
def _argv(words: list[str]) -> Iterator[None]:
    before = sys.argv
    sys.argv = words
    try:
        yield
    finally:
        sys.argv = before
