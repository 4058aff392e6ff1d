"""Configurations composed by Hydra, as plain values."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from scan_lightning.config.command import Request, hydra_word
from scan_lightning.config.conf_dir import conf_dir
from scan_lightning.config.problems import report
from scan_lightning.config.validate import checked
from scan_lightning.errors import ScanError
from scan_lightning.options import options_of

# Sections that take any key of the class they name, without Hydra's `+`; its signature is checked later.
OPEN = ("data", "attention", "model", "loss", "optimizer", "scheduler", "trainer", "callbacks", "logger")


def compose_config(schema: type[Any], config_name: str, overrides: list[str]) -> Any:
    """The checked config that a command would get, without Hydra's part and folders.

    Raises:
        ScanError: all problems in one message.
    """
    with hydra_session():
        words = [hydra_word(word) for word in overrides]
        cfg = compose_words(Request(words, [], False, False, False, [], config_name), words)
        values = plain_values(cfg, schema)
    config, problems = checked(schema, values)
    if problems:
        raise report(problems)
    return config


def unchecked(request: Request) -> DictConfig:
    """The composed config with Hydra's part, unchecked, so that a faulty one can be looked at."""
    with hydra_session(request.config_dirs):
        return compose_words(request, request.overrides)


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


def compose_words(request: Request, overrides: list[str]) -> DictConfig:
    """Compose a configuration, with Hydra's part.

    Raises:
        ScanError: Hydra refuses an override, or a file that it names.
    """
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


@contextmanager
def hydra_session(config_dirs: Sequence[Path] = ()) -> Iterator[None]:
    """Let Hydra compose within the block, from the user's folders too, as `hydra.main` does."""
    store_open_sections()
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        path = create_config_search_path(str(conf_dir()))
        for folder in config_dirs:
            path.prepend("command-line", f"file://{folder}", anchor="schema")
        GlobalHydra.instance().clear()
        Hydra.create_main_hydra2("app", path)
        yield


def store_open_sections() -> None:
    """Register `open_sections`, the first of the defaults: sections that take new keys without a `+`."""
    sections = {name: DictConfig({}, flags={"struct": False}) for name in OPEN}
    ConfigStore.instance().store("open_sections", DictConfig(sections))


def quoted(path: str) -> str:
    """A path as an override's value, whatever it holds."""
    escaped = os.path.expanduser(str(path)).replace('"', '\\"')  # noqa: PTH111
    return f'"{escaped}"'
