"""Overrides (`key=value`, `group=option`) judged one by one, before Hydra composes anything.

Hydra stops at the first unknown key and answers a typo with the advice to write `+key=...`, which would then
be accepted silently. Here every override is compared with the schema and the group folders, so that all
faults come in one report; those found wanting are left out of what is composed next.
"""

from __future__ import annotations

from dataclasses import fields

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from scan_lightning.launch.command import Command, Request
from scan_lightning.names import nearest_option
from scan_lightning.validate import Fault, leaf_keys, unknown_key


def judge(
    words: list[str], command: Command, request: Request, parser: OverridesParser, *, multirun: bool
) -> tuple[list[Override], list[Fault]]:
    """Parse `words` and tell the usable overrides from the faults.

    Args:
        words: overrides, from the command line or from a sweep file's parameters.
        command: whose schema and groups they must fit.
        request: where the groups' options are looked for.
        parser: Hydra's; it needs the config loader for `glob(...)`.
        multirun: whether several values for a key are a sweep or a fault.
    """
    usable: list[Override] = []
    faults: list[Fault] = []
    groups = request.groups(command)
    for word in words:
        try:
            (override,) = parser.parse_overrides([word])  # unlike parse_override, it can expand glob(...)
        except HydraException as error:
            reason = str(error).splitlines()[0]
            remedy = "expected key=value; a value that holds = or , needs quotes: 'key=\"a=b\"'"
            faults.append(Fault(word, f"not understood ({reason})", remedy))
            continue
        fault = None if override.is_hydra_override() else _fault(override, command, groups, multirun)
        if fault is None:
            usable.append(override)
        else:
            faults.append(fault)
    return usable, faults


def text(override: Override) -> str:
    """The override as it was written."""
    assert override.input_line is not None
    return override.input_line


def _fault(
    override: Override, command: Command, groups: dict[str, list[str]], multirun: bool
) -> Fault | None:
    key = override.key_or_group
    known = leaf_keys(command.schema)
    sections = [item.name for item in fields(command.schema)]
    if key not in known and key not in groups and key not in sections:
        return unknown_key(key, [*known, *groups], value=text(override).partition("=")[2])
    if override.is_delete():
        return Fault(f"~{key}", "keys and groups cannot be removed", f"give {key}=VALUE instead")
    if override.is_add() and not override.is_force_add():
        return Fault(f"+{key}", "the key is there already", f"write {key}=... without the +")
    swept = override.is_sweep_override()
    if swept and not multirun:
        return Fault(
            key, f"several values ({text(override).partition('=')[2]})", "add -m: one job for each value"
        )
    if swept and key in ("run_dir", "sweep"):
        return Fault(key, "several values", "give one; a sweep has one folder, and one subfolder a job")
    return _option_fault(override, groups) if key in groups else None


def _option_fault(override: Override, groups: dict[str, list[str]]) -> Fault | None:
    group = override.key_or_group
    options = groups[group]
    if override.is_sweep_override():
        chosen = list(override.sweep_string_iterator()) if override.is_discrete_sweep() else []
        if not chosen:
            given = text(override).partition("=")[2]
            return Fault(group, f"no option in {given}", f"expected some of {', '.join(options)}")
    else:
        value = override.value()
        if value is None and group in ("experiment", "sweep"):
            return None
        chosen = [str(value)]
    for option in chosen:
        if option not in options:
            hint = nearest_option(option, options)
            remedy = f"expected one of {', '.join(options)}" + (f"; {hint}" if hint else "")
            return Fault(group, f"there is no option {option!r}", remedy)
    return None
