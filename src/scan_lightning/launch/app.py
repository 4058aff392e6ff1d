"""Runs a Hydra command: check everything, then start the one run or the sweep."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from scan_lightning.conf_dir import conf_dir
from scan_lightning.launch import summary
from scan_lightning.launch.command import Command, read_request
from scan_lightning.launch.devices import check_devices
from scan_lightning.launch.folders import run_folders
from scan_lightning.launch.help import help_text
from scan_lightning.launch.plan import Plan, make_plan, plain_values, show
from scan_lightning.launch.sweep import run_sweep_job
from scan_lightning.validate import build


def launch(command: Command, arguments: list[str]) -> int:
    """Run `scan-lightning COMMAND ARGUMENTS` and return the status.

    Raises:
        ScanError: faults of the configuration, or what the single run raises.
    """
    request = read_request(command, arguments)
    if request.help:
        print(help_text(command, request), end="")
        return 0
    if request.show is not None:
        print(show(command, request), end="")
        return 0
    plan = make_plan(command, request)
    with run_folders(plan.folder, [job.folder for job in plan.jobs]):
        if plan.multirun:
            return _sweep(command, plan)
        _single(command, plan)
        return 0


def _single(command: Command, plan: Plan) -> None:
    # Hydra prints what a job raises and ends the process with status 1; the command has its own statuses.
    raised: list[Exception] = []

    def task(cfg: DictConfig) -> None:
        try:
            config, folder = _job(command, cfg)
            check_devices(config.trainer)
            command.execute(config, folder)
        except Exception as error:
            raised.append(error)

    _start_hydra(command, task, plan.overrides, multirun=False)
    if raised:
        raise raised[0]


def _sweep(command: Command, plan: Plan) -> int:
    total = len(plan.jobs) or None

    def task(cfg: DictConfig) -> float | None:
        config, folder = _job(command, cfg)
        return run_sweep_job(command, config, folder, total)

    launched = True
    try:
        _start_hydra(command, task, plan.overrides, multirun=True)
    except SystemExit:  # the launcher itself failed, as when Slurm cancels a job; Hydra has printed it
        launched = False
    status = summary.summarise(command.name, plan.folder, plan.swept, plan.jobs)
    return status if launched else 1


def _job(command: Command, cfg: DictConfig) -> tuple[Any, Path]:
    folder = Path(HydraConfig.get().runtime.output_dir)
    values = plain_values(cfg)
    values["run_dir"] = str(folder)
    return build(command.schema, values), folder


def _start_hydra(command: Command, task: Any, overrides: list[str], *, multirun: bool) -> None:
    """Hand over to Hydra, which reads its words from `sys.argv`.

    While a job runs `sys.argv` is the original again: Lightning's DDP starts the other processes of a job by
    repeating it, and a command line without its subcommand would not start.
    """
    original = sys.argv

    def with_own_argv(cfg: DictConfig) -> Any:
        with _argv(original):
            return task(cfg)

    words = [original[0], *(["--multirun"] if multirun else []), *overrides]
    start = hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=command.config_name)
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
