"""Overrides (`key=value`, `group=option`) checked one by one, before Hydra composes anything.

Hydra stops at the first unknown key and answers a typo with the advice to write `+key=...`. Here every
override is compared with the sections and the group folders, so that all problems come in one report; what is
inside a section is checked once it is composed, against the signature of the class that it then names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from scan_lightning.config.command import Command, Request
from scan_lightning.config.nearest import nearest_option
from scan_lightning.config.problems import Problem, unknown_key
from scan_lightning.options import options_of


@dataclass(frozen=True)
class OverrideCheck:
    """What overrides are checked against.

    Args:
        command: whose sections they must fit.
        request: where the groups' options are looked for.
        parser: Hydra's; it needs the config loader for `glob(...)`.
        known: gives every key there is, for the nearest name.
    """

    command: Command
    request: Request
    parser: OverridesParser
    known: Callable[[], list[str]]

    def __call__(self, words: list[str], *, multirun: bool) -> tuple[list[Override], list[Problem]]:
        """Parse `words` and tell the usable overrides from the problems.

        Args:
            words: overrides, from the command line or from a sweep file's parameters.
            multirun: whether several values for a key are a sweep or a problem.
        """
        usable: list[Override] = []
        problems: list[Problem] = []
        for word in words:
            try:
                (override,) = self.parser.parse_overrides(
                    [word]
                )  # unlike parse_override, it expands glob(...)
            except HydraException as error:
                reason = str(error).splitlines()[0]
                remedy = "expected key=value; a value that holds = or , needs quotes: 'key=\"a=b\"'"
                problems.append(Problem(word, f"not understood ({reason})", remedy))
                continue
            problem = None if override.is_hydra_override() else self._problem(override, multirun)
            if problem is None:
                usable.append(override)
            else:
                problems.append(problem)
        return usable, problems

    def _problem(self, override: Override, multirun: bool) -> Problem | None:
        key, value = override.key_or_group, text(override).partition("=")[2]
        groups, sections = self.request.groups(), options_of(self.command.schema)
        head = key.partition(".")[0]
        own = self.request.config_name != self.command.config_name or head in self.request.own_groups()
        if head not in sections and key not in groups and not own:
            return unknown_key(key, [*self.known(), *groups], value=value)
        swept = override.is_sweep_override()
        if swept and not multirun:
            return Problem(key, f"several values ({value})", "add -m: one job for each value")
        if swept and key in ("run_dir", "sweep"):
            return Problem(key, "several values", "give one; a sweep has one folder, and one subfolder a job")
        return _option_problem(override, groups) if key in groups and not override.is_delete() else None


def text(override: Override) -> str:
    """The override as it was written."""
    assert override.input_line is not None
    return override.input_line


def refused(override: Override, reason: str) -> Problem:
    """The problem of an override that Hydra cannot compose."""
    key, value = override.key_or_group, text(override).partition("=")[2]
    if override.is_add() and "already at" in reason:
        return Problem(text(override), "the key is there already", f"write {key}={value}, without the +")
    if override.is_delete() and "does not exist" in reason:
        return Problem(text(override), "there is no such key", "leave it out")
    return Problem(text(override), reason.strip(), "see `--help` for keys and groups")


def _option_problem(override: Override, groups: dict[str, list[str]]) -> Problem | None:
    group = override.key_or_group
    options = groups[group]
    if override.is_sweep_override():
        chosen = list(override.sweep_string_iterator()) if override.is_discrete_sweep() else []
        if not chosen:
            given = text(override).partition("=")[2]
            return Problem(group, f"no option in {given}", f"expected some of {', '.join(options)}")
        chosen = [part.strip() for item in chosen for part in item.strip("[]").split(",") if part.strip()]
    else:
        value = override.value()
        if value is None or isinstance(value, dict):
            return None
        chosen = [str(item) for item in value] if isinstance(value, list) else [str(value)]
    for option in chosen:
        if option not in options:
            hint = nearest_option(option, options)
            remedy = f"expected one of {', '.join(options)}" + (f"; {hint}" if hint else "")
            return Problem(group, f"there is no option {option!r}", remedy)
    return None
