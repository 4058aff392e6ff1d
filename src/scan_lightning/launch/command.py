"""What a command that takes Hydra overrides consists of, and the words it was given."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from scan_lightning.conf_dir import conf_dir, group_options, groups
from scan_lightning.errors import ScanError
from scan_lightning.validate import leaf_keys

OPTIONS = (
    "  -m, --multirun         a sweep: KEY=A,B runs a job for each value and ends with a table",
    "  -cd, --config-dir DIR  find more options in DIR, such as DIR/experiment/mine.yaml",
    "  --cfg job              print the configuration and stop (also: hydra, all)",
    "  --debug                show the traceback of a user's fault too",
    "  --quiet                show results, warnings and errors, no progress",
    "  -h, --help             print this page and stop",
)


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
    """The words after the command's name, taken apart but not yet judged."""

    overrides: list[str]
    multirun: bool
    help: bool
    show: str | None  # --cfg
    config_dirs: list[Path]

    def options(self, group: str) -> list[str]:
        """The names that `group=` takes, those in the user's own folders too."""
        return group_options(group, [*self.config_dirs, conf_dir()])

    def groups(self, command: Command) -> dict[str, list[str]]:
        """Every group of the command with its options."""
        return {group: self.options(group) for group in groups(command.config_name)}


class _Parser(argparse.ArgumentParser):
    """Says what is there when a word is not: argparse's own usage does not tell what the options do."""

    keys: Sequence[str] = ()  # what overrides may set

    def error(self, message: str) -> NoReturn:
        """Raise the user's message.

        Raises:
            ScanError: always.
        """
        word = message.removeprefix("unrecognized arguments: ").split()[0]
        raise ScanError(
            f"scan-lightning {self.prog}: {message}{self._hint(word)}\nexpected KEY=VALUE, GROUP=OPTION, "
            "or one of these options (`--help` lists keys and groups)\n" + "\n".join(OPTIONS)
        )

    def _hint(self, word: str) -> str:
        name, _, value = word.lstrip("-").partition("=")
        if not word.startswith("-"):
            return ""
        if name in self.keys:
            return f"; write {name}={value or 'VALUE'}, without the dashes"
        options = re.findall(r"--([a-z-]+)", "\n".join(OPTIONS))
        near = get_close_matches(name, options, n=1)
        return f"; did you mean --{near[0]}?" if near else ""


def read_request(command: Command, arguments: list[str]) -> Request:
    """Take the words after the command's name apart.

    Raises:
        ScanError: there is no such option, or `--config-dir` names no folder.
    """
    parser = _Parser(prog=command.name, add_help=False, allow_abbrev=False)
    parser.keys = leaf_keys(command.schema)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--cfg", choices=["job", "hydra", "all"])
    parser.add_argument("-cd", "--config-dir", action="append", default=[], type=Path)
    found = parser.parse_intermixed_args(arguments)
    folders = [folder.resolve() for folder in found.config_dir]
    for folder in folders:
        if not folder.is_dir():
            raise ScanError(
                f"--config-dir {folder}: no such folder; give one that holds experiment/NAME.yaml or the like"
            )
    return Request(found.overrides, found.multirun, found.help, found.cfg, folders)
