"""What a command that takes Hydra overrides consists of, and the words it was given."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from hydra._internal.utils import get_args_parser

from scan_lightning.config.conf_dir import conf_dir, group_options, groups
from scan_lightning.errors import ScanError
from scan_lightning.options import options_of

OPTIONS = (
    "  -m, --multirun         a sweep: KEY=A,B runs a job for each value and ends with a table",
    "  -cd, --config-dir DIR  find more options in DIR, such as DIR/experiment/mine.yaml",
    "  -cn, --config-name N   another primary configuration of DIR",
    "  --cfg job              print the configuration and stop (also: hydra, all)",
    "  --info                 print what Hydra composed, and from where",
    "  --debug                show the traceback of a user's error too",
    "  --quiet                show results, warnings and errors, no progress",
    "  -h, --help             print this page and stop",
)
PRINTING = ("cfg", "info", "hydra_help", "version", "shell_completion")  # flags of Hydra that run nothing


@dataclass(frozen=True)
class Command:
    """`scan-lightning train` or `scan-lightning evaluate`.

    Args:
        name: the word on the command line.
        config_name: its primary file in `conf/`, without the suffix.
        schema: the dataclass of config.py that its config becomes.
        execute: what a job does; returns the content of results.json. At the top of a module: parallel
            launchers pickle it.
        continues: whether a job goes on where it stopped and need not run again once finished.
    """

    name: str
    config_name: str
    schema: type[Any]
    execute: Callable[[Any, Path], dict[str, Any]]
    continues: bool


@dataclass(frozen=True)
class Request:
    """The words after the command's name, taken apart but not yet checked.

    Attributes:
        flags: Hydra's own, which are handed on to it.
        prints: whether they print something and run nothing.
    """

    overrides: list[str]
    flags: list[str]
    multirun: bool
    help: bool
    prints: bool
    config_dirs: list[Path]
    config_name: str

    def options(self, group: str) -> list[str]:
        """The names that `group=` takes, those in the user's own folders too."""
        return group_options(group, [*self.config_dirs, conf_dir()])

    def groups(self) -> dict[str, list[str]]:
        """Every group with its options, the user's own too."""
        names = [
            *groups(self.config_name),
            *(name for folder in self.config_dirs for name in _folders(folder)),
        ]
        return {name: self.options(name) for name in dict.fromkeys(names)}

    def own_groups(self) -> set[str]:
        """Groups of the user's folders that this program does not have."""
        return {name for folder in self.config_dirs for name in _folders(folder)} - set(_folders(conf_dir()))


class _Parser(argparse.ArgumentParser):
    """Says what is there when a word is not."""

    command: Command

    def error(self, message: str) -> NoReturn:
        """Raise the user's message.

        Raises:
            ScanError: always.
        """
        word = message.removeprefix("unrecognized arguments: ").split()[0]
        options = [
            "--quiet",
            "--debug",
            *(name for action in self._actions for name in action.option_strings),
        ]
        near = get_close_matches(word.partition("=")[0], options, n=1, cutoff=0.75)
        name, _, value = word.lstrip("-").partition("=")
        hint = f"; did you mean {near[0]}?" if near else ""
        if word.startswith("--") and name.partition(".")[0] in options_of(self.command.schema):
            hint = f"; write {name}={value or 'VALUE'}, without the dashes"
        raise ScanError(
            f"scan-lightning {self.command.name}: {message}{hint}\nexpected KEY=VALUE, GROUP=OPTION, "
            "or one of these options (`--help` lists keys and groups)\n" + "\n".join(OPTIONS)
        )


def read_request(command: Command, arguments: list[str]) -> Request:
    """Take the words after the command's name apart, by Hydra's own parser.

    Raises:
        ScanError: there is no such option, or `--config-dir` names no folder.
    """
    parser = get_args_parser()
    parser.__class__, parser.command = _Parser, command  # type: ignore[attr-defined]
    parser.allow_abbrev = False
    found = parser.parse_intermixed_args(arguments)
    if found.experimental_rerun is not None:
        raise ScanError(
            "--experimental-rerun: unpickles a file, which may run code; give the overrides instead"
        )
    folders = [] if found.config_dir is None else [Path(found.config_dir).expanduser().resolve()]
    for folder in folders:
        if not folder.is_dir():
            raise ScanError(
                f"--config-dir {folder}: no such folder; give one that holds experiment/NAME.yaml or the like"
            )
    flags = [word for word in arguments if word not in found.overrides]
    return Request(
        overrides=[hydra_word(word) for word in found.overrides],
        flags=_without_folder(flags),
        multirun=found.multirun,
        help=found.help,
        prints=any(getattr(found, name, None) for name in PRINTING),
        config_dirs=folders,
        config_name=found.config_name or command.config_name,
    )


def hydra_word(word: str) -> str:
    """An override as Hydra's grammar takes it: `GROUP=null`, and paths that begin with `~`."""
    group, _, value = word.partition("=")
    if value == "null" and ("/" in group or (conf_dir() / group).is_dir()):
        return f"{group}=[]" if group in ("callbacks", "logger") else f"~{group}"
    return re.sub(r"""(?<=[=,\[])(~[^,\[\]"']*)""", r'"\1"', word)


def _without_folder(flags: list[str]) -> list[str]:
    """Hydra's flags without `--config-dir` and `--config-name`, which are handed on for every command."""
    kept, skip = [], False
    for flag in flags:
        if skip or flag in ("-cd", "--config-dir", "-cn", "--config-name"):
            skip = not skip
        elif not flag.startswith(("--config-dir=", "--config-name=")):
            kept.append(flag)
    return kept


def _folders(folder: Path) -> list[str]:
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if path.is_dir() and any(path.glob("*.yaml"))
    ]
