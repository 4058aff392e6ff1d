"""Overrides (`key=value`, `group=option`) checked one by one, before Hydra composes anything.

Hydra stops at the first unknown key and answers a typo with the advice to write `+key=...`. Here every
override is compared with the sections and the group folders, so that all problems come in one report; what is
inside a section is checked once it is composed, against the signature of the class that it then names.
"""

from __future__ import annotations

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from scan_lightning.config.command import Command, Request
from scan_lightning.config.nearest import nearest_option
from scan_lightning.config.problems import Problem, unknown_key
from scan_lightning.options import options_of


def check_overrides(
    words: list[str], command: Command, request: Request, parser: OverridesParser, *, multirun: bool
) -> tuple[list[Override], list[Problem]]:
    """Parse `words` and tell the usable overrides from the problems.

    Args:
        words: overrides, from the command line or from a sweep file's parameters.
        command: whose sections they must fit.
        request: where the groups' options are looked for.
        parser: Hydra's; it needs the config loader for `glob(...)`.
        multirun: whether several values for a key are a sweep or a problem.
    """
    usable: list[Override] = []
    problems: list[Problem] = []
    groups = request.groups()
    for word in words:
        try:
            (override,) = parser.parse_overrides([word])  # unlike parse_override, it can expand glob(...)
        except HydraException as error:
            reason = str(error).splitlines()[0]
            remedy = "expected key=value; a value that holds = or , needs quotes: 'key=\"a=b\"'"
            problems.append(Problem(word, f"not understood ({reason})", remedy))
            continue
        problem = (
            None if override.is_hydra_override() else _problem(override, command, groups, request, multirun)
        )
        if problem is None:
            usable.append(override)
        else:
            problems.append(problem)
    return usable, problems


def text(override: Override) -> str:
    """The override as it was written."""
    assert override.input_line is not None
    return override.input_line


def _problem(
    override: Override, command: Command, groups: dict[str, list[str]], request: Request, multirun: bool
) -> Problem | None:
    key = override.key_or_group
    sections = list(options_of(command.schema))
    head = key.partition(".")[0]
    own = request.config_name != command.config_name or head in request.own_groups()
    if head not in sections and key not in groups and not own:
        return unknown_key(key, [*sections, *groups], value=text(override).partition("=")[2])
    swept = override.is_sweep_override()
    if swept and not multirun:
        return Problem(
            key, f"several values ({text(override).partition('=')[2]})", "add -m: one job for each value"
        )
    if swept and key in ("run_dir", "sweep"):
        return Problem(key, "several values", "give one; a sweep has one folder, and one subfolder a job")
    return _option_problem(override, groups) if key in groups and not override.is_delete() else None


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
