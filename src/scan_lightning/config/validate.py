"""Values checked against the signatures of what they are for: every problem, before any data is read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from scan_lightning.config.build_check import build_problems, expected_kind, kinds
from scan_lightning.config.nearest import MOVED, nearest_option
from scan_lightning.config.nodes import (
    EXTRAS,
    HYDRA_KEYS,
    MISSING,
    NAMED,
    PARTIAL,
    given,
    known_keys,
    locate,
    node_options,
    nodes,
    section_class,
)
from scan_lightning.config.problems import Problem, unknown_key
from scan_lightning.errors import ScanError
from scan_lightning.options import (
    NODE,
    Option,
    choices,
    coerce,
    describe,
    options_of,
    takes_any_keyword,
)

HINTS = {  # what to give for a value that is required
    "data.path": "give data.path=FILE.h5, a store made by `scan-lightning data build`",
    "checkpoint": "give checkpoint=FILE.ckpt, for example a run's checkpoints/best.ckpt",
    "run_dir": "give run_dir=DIR, the folder of the run",
    "checkpoints": "give checkpoints=[A.ckpt,B.ckpt], the models whose similarities are averaged",
}
PARTIALS = ("optimizer", "scheduler", "model")  # given more arguments when they are built: always partial


def checked(schema: type[Any], values: Mapping[str, Any]) -> tuple[Any, list[Problem]]:
    """The typed config of a command, or None, and what is wrong with `values`."""
    problems: list[Problem] = []
    known = known_keys(schema, values)
    result = _section(schema, values, "", problems, known)
    for key, node in nodes(schema, values):
        problems += _check_node(key, node, known)
    if problems:
        return None, problems
    for name in options_of(schema):
        value = getattr(result, name)
        if isinstance(value, Mapping):
            setattr(result, name, _typed(name, value))
    return result, []


def _section(schema: type[Any], values: Any, prefix: str, problems: list[Problem], known: list[str]) -> Any:
    if not isinstance(values, Mapping):
        problems.append(Problem(prefix.rstrip("."), f"found {values!r}", f"expected the keys {prefix}..."))
        return None
    options = options_of(schema)
    problems += [unknown_key(f"{prefix}{name}", known) for name in values if name not in options]
    parsed: dict[str, Any] = {}
    for name, option in options.items():
        key, section = prefix + name, section_class(schema, name)
        if section:
            parsed[name] = _section(section, values.get(name, {}), f"{key}.", problems, known)
            continue
        if name not in values and not option.required:
            continue
        value = values.get(name, MISSING)
        if value == MISSING:
            problems.append(_missing(key))
            continue
        found = _check_value(key, option.hint, value, ours=True)
        if name in NAMED and not found:
            wrong = {f"{key}.{inner}": node for inner, node in value.items() if not _is_node(node)}
            found = [
                unknown_key(inner, known)
                if inner in MOVED
                else Problem(inner, f"found {node!r}", f"expected a node with {NODE}, or null")
                for inner, node in wrong.items()
            ]
        problems += found
        parsed[name] = value if found else coerce(option.hint, value)
    return None if problems else schema(**parsed)


def _check_node(key: str, node: Mapping[str, Any], known: list[str]) -> list[Problem]:
    if not isinstance(node.get(NODE), str):
        return [Problem(f"{key}.{NODE}", "missing", "name the class that the section describes")]
    try:
        target = locate(node[NODE])
    except ScanError as error:
        found, _, remedy = str(error).rpartition("; ")
        return [Problem(f"{key}.{NODE}", found, remedy)]
    fits = issubclass(target, kinds(key)) if isinstance(target, type) else key not in PARTIALS
    if not fits:
        return [Problem(f"{key}.{NODE}", f"found {node[NODE]}", expected_kind(key))]
    options, extras = node_options(key, node), EXTRAS.get(key, {})
    ours = target.__module__.startswith("scan_lightning.")
    problems: list[Problem] = []
    for name, value in node.items():
        full = f"{key}.{name}"
        if name in HYDRA_KEYS:
            continue
        if name in extras:
            problems += _check_value(full, extras[name], value, ours=True)
        elif name in given(key):
            problems.append(Problem(full, "set by the program", "leave it out"))
        elif isinstance(value, Mapping) and NODE in value:
            problems += _check_node(full, value, known)
        elif name not in options:
            problems += [] if takes_any_keyword(target) else [unknown_key(full, known)]
        elif value == MISSING:
            problems.append(_missing(full))
        else:
            problems += _check_value(full, options[name].hint, value, ours=ours)
    if key in PARTIALS or not node.get(PARTIAL):
        problems += [
            _missing(f"{key}.{name}")
            for name, option in options.items()
            if option.required and name not in node and not node.get("_args_")
        ]
    problems += _check_groups(node, options, known) if key == "optimizer" else []
    return problems or build_problems(key, node, target)


def _check_groups(node: Mapping[str, Any], options: Mapping[str, Option], known: list[str]) -> list[Problem]:
    """What is wrong with the arguments that parts of the weights have of their own."""
    problems: list[Problem] = []
    groups = node.get("groups")
    for prefix, arguments in groups.items() if isinstance(groups, Mapping) else ():
        key = f"optimizer.groups.{prefix}"
        if not isinstance(arguments, Mapping):
            problems.append(Problem(key, f"found {arguments!r}", "expected a mapping, such as {lr: 1e-5}"))
            continue
        for name, value in arguments.items():
            if name in options:
                problems += _check_value(f"{key}.{name}", options[name].hint, value, ours=False)
            else:
                problems.append(unknown_key(f"{key}.{name}", [f"{key}.{option}" for option in options]))
    return problems


def _check_value(key: str, hint: Any, value: Any, *, ours: bool) -> list[Problem]:
    """What is wrong with a value; classes of others may take an empty string."""
    remedy = f"expected {describe(hint)}"
    empty = isinstance(value, str) and not value.strip()
    try:
        coerce(hint, value)
        if not (empty and ours):
            return []
    except (ValueError, OverflowError):  # an integer may be too large for any float
        pass
    if empty:
        what = f"; {HINTS[key]}" if key in HINTS else ""
        return [Problem(key, f"found {value!r}, which is empty", remedy + what)]
    found = f"found {'null' if value is None else repr(value)}"
    if isinstance(value, float) and not math.isfinite(value):
        found += ", which is not finite"
    hint_of_name = nearest_option(value, choices(hint)) if isinstance(value, str) else ""
    return [Problem(key, found, f"{remedy}; {hint_of_name}" if hint_of_name else remedy)]


def _typed(key: str, node: Mapping[str, Any]) -> dict[str, Any]:
    """A node whose values are as its class's hints say: 4 for a float becomes 4.0."""
    options = node_options(key, node)
    typed: dict[str, Any] = {}
    for name, value in node.items():
        if isinstance(value, Mapping):
            typed[name] = _typed(f"{key}.{name}", value)
        else:
            typed[name] = coerce(options[name].hint, value) if name in options else value
    return typed


def _is_node(value: Any) -> bool:
    return value is None or isinstance(value, Mapping)


def _missing(key: str) -> Problem:
    return Problem(key, "missing", HINTS.get(key, f"give {key}=VALUE"))
