"""Nodes of a configuration: checked against the signatures of what they name, and made into objects.

A node is a mapping whose `_target_` names a class or function by its dotted path. The command line and the
folders it names decide what is imported; a checkpoint never does (see specification.py).
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_type_hints

import hydra

from scan_lightning.config.nearest import nearest_option
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

WORKING_DIRECTORY = "SCAN_LIGHTNING_CWD"  # where the command was given, for processes it starts
MISSING = "???"  # OmegaConf's mark of a value that the user has to give
HYDRA_KEYS = (NODE, "_partial_", "_args_", "_recursive_", "_convert_")
PARTIALS = ("optimizer", "scheduler", "model")  # sections that are given more arguments when they are built
MAPPINGS = ("callbacks", "logger")  # sections from a name to a node
# Arguments that the program gives, and keys of a node that are taken out before its class is built.
GIVEN = {
    "model": ("feature_dim", "vocabulary"),
    "optimizer": ("params",),
    "scheduler": ("optimizer", "total_steps", "epoch_steps"),
    "trainer": ("callbacks", "logger", "default_root_dir"),
    "logger": ("config", "resumed"),
}
EXTRAS = {"optimizer": ("groups",), "scheduler": ("interval", "frequency", "monitor")}
HINTS = {  # what to give for a value that is required
    "data.path": "give data.path=FILE.h5, a store made by `scan-lightning data build`",
    "checkpoint": "give checkpoint=FILE.ckpt, for example a run's checkpoints/best.ckpt",
    "run_dir": "give run_dir=DIR, the folder of the run",
    "checkpoints": "give checkpoints=[A.ckpt,B.ckpt], the models whose similarities are averaged",
}


def locate(path: str) -> Callable[..., Any]:
    """The class or function of a dotted path; modules are found in the working directory too.

    Raises:
        ScanError: there is none.
    """
    here = os.environ.get(WORKING_DIRECTORY) or os.getcwd()  # noqa: PTH109
    if here not in sys.path:
        sys.path.append(here)
    try:
        found = hydra.utils.get_object(path)
    except Exception as error:
        cause = error.__cause__ or error
        reason = str(cause).strip().splitlines() or [type(cause).__name__]
        raise ScanError(f"{path} cannot be imported ({reason[0]})") from error
    if not callable(found):
        raise ScanError(f"{path} is no class or function")
    return found  # type: ignore[no-any-return]


def instantiate(node: Mapping[str, Any], key: str) -> Any:
    """The object that a node describes.

    Raises:
        ScanError: its class refuses the arguments.
    """
    try:
        locate(node[NODE])
        return hydra.utils.instantiate(dict(node), _convert_="all")
    except hydra.errors.InstantiationException as error:
        cause = error.__cause__ or error
        if isinstance(cause, ScanError):
            raise cause from None
        raise ScanError(f"{key}: {node[NODE]} cannot be built ({_first_line(cause)})") from error


def checked(schema: type[Any], values: Mapping[str, Any]) -> tuple[Any, list[Problem]]:
    """The typed config of a command, or None, and what is wrong with `values`."""
    problems: list[Problem] = []
    known = known_keys(schema, values)
    result = _section(schema, values, "", problems, known)
    for key, node in nodes(schema, values):
        problems += check_node(key, node, known)
    for name in MAPPINGS:
        entries = values.get(name)
        for inner, node in entries.items() if isinstance(entries, Mapping) else ():
            problems += [] if isinstance(node, Mapping) else [unknown_key(f"{name}.{inner}", known)]
    return (None if problems else result), problems


def nodes(schema: type[Any], values: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The nodes of a config with their keys; callbacks and loggers are one each."""
    for name in options_of(schema):
        value = values.get(name)
        if not isinstance(value, Mapping) or _dataclass(schema, name):
            continue
        if name in MAPPINGS:
            for inner, node in value.items():
                if isinstance(node, Mapping):
                    yield f"{name}.{inner}", node
        else:
            yield name, value


def known_keys(schema: type[Any], values: Mapping[str, Any]) -> list[str]:
    """Every key that may be set in a config, those of the nodes' signatures included."""
    keys: list[str] = []
    for name in options_of(schema):
        section = _dataclass(schema, name)
        keys += [f"{name}.{key}" for key in options_of(section)] if section else [name]
    for key, node in nodes(schema, values):
        keys += [f"{key}.{name}" for name in (*node_options(key, node), *EXTRAS.get(_head(key), ()))]
    return keys


def node_options(key: str, node: Mapping[str, Any]) -> dict[str, Option]:
    """The options of a node's class that a configuration may set; none when it cannot be imported."""
    target = node.get(NODE)
    if not isinstance(target, str):
        return {}
    try:
        options = options_of(locate(target))
    except (ScanError, ValueError, TypeError):
        return {}
    return {name: option for name, option in options.items() if name not in GIVEN.get(_head(key), ())}


def check_node(key: str, node: Mapping[str, Any], known: list[str]) -> list[Problem]:
    """What is wrong with a node."""
    if not isinstance(node.get(NODE), str):
        return [Problem(f"{key}.{NODE}", "missing", "name the class that the section describes")]
    try:
        target = locate(node[NODE])
    except ScanError as error:
        remedy = "check the name; modules are found on the Python path and in the working directory"
        return [Problem(f"{key}.{NODE}", str(error), remedy)]
    options, given = node_options(key, node), GIVEN.get(_head(key), ())
    problems: list[Problem] = []
    for name, value in node.items():
        full = f"{key}.{name}"
        if name in HYDRA_KEYS or name in EXTRAS.get(_head(key), ()):
            continue
        if name in given:
            problems.append(Problem(full, "set by the program", "leave it out"))
        elif isinstance(value, Mapping) and NODE in value:
            problems += check_node(full, value, known)
        elif name not in options:
            if not takes_any_keyword(target):
                problems.append(unknown_key(full, known))
        elif value == MISSING:
            problems.append(Problem(full, "missing", HINTS.get(full, f"give {full}=VALUE")))
        else:
            problems += _check_value(full, options[name].hint, value)
    if not node.get("_partial_") or _head(key) in PARTIALS:
        problems += [
            Problem(f"{key}.{name}", "missing", HINTS.get(f"{key}.{name}", f"give {key}.{name}=VALUE"))
            for name, option in options.items()
            if option.required and name not in node and not node.get("_args_")
        ]
    return problems or _check_build(key, node, target)


def flat_keys(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values under dotted keys."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat.update(flat_keys(value, f"{prefix}{name}."))
        else:
            flat[prefix + str(name)] = value
    return flat


_BUILT: dict[str, list[Problem]] = {}


def _check_build(key: str, node: Mapping[str, Any], target: Callable[..., Any]) -> list[Problem]:
    """What the class itself refuses, where building it costs nothing and touches nothing."""
    head = _head(key)
    if head not in ("attention", "loss", "optimizer", "callbacks"):
        return []
    identity = json.dumps([key, node], sort_keys=True, default=str)
    if identity not in _BUILT:
        _BUILT[identity] = []
        try:
            if head == "optimizer":
                import torch

                arguments = {name: value for name, value in node.items() if name not in EXTRAS["optimizer"]}
                partial = instantiate({**arguments, "_partial_": True}, key)
                partial([torch.nn.Parameter(torch.zeros(1))])
            else:
                instantiate(node, key)
        except ScanError as error:
            _BUILT[identity] = [Problem(key, str(error).removeprefix(f"{key}: "), "change what it refuses")]
        except Exception as error:
            _BUILT[identity] = [
                Problem(key, f"{node[NODE]} cannot be built ({_first_line(error)})", "change what it refuses")
            ]
    return _BUILT[identity]


def _section(schema: type[Any], values: Any, prefix: str, problems: list[Problem], known: list[str]) -> Any:
    if not isinstance(values, Mapping):
        problems.append(Problem(prefix.rstrip("."), f"found {values!r}", f"expected the keys {prefix}..."))
        return None
    options = options_of(schema)
    problems += [unknown_key(f"{prefix}{name}", known) for name in values if name not in options]
    parsed: dict[str, Any] = {}
    for name, option in options.items():
        key, section = prefix + name, _dataclass(schema, name)
        if section:
            parsed[name] = _section(section, values.get(name, {}), f"{key}.", problems, known)
            continue
        if name not in values and not option.required:
            continue
        value = values.get(name, MISSING)
        if value == MISSING:
            problems.append(Problem(key, "missing", HINTS.get(key, f"give {key}=VALUE")))
            continue
        found = _check_value(key, option.hint, value)
        problems += found
        parsed[name] = value if found else coerce(option.hint, value)
    return None if problems else schema(**parsed)


def _check_value(key: str, hint: Any, value: Any) -> list[Problem]:
    remedy = f"expected {describe(hint)}"
    empty = isinstance(value, str) and not value.strip()
    needed = "." not in key or key == "data.path"  # classes of others may take an empty string
    try:
        coerce(hint, value)
        if not (empty and needed):
            return []
    except (ValueError, OverflowError):  # an integer may be too large for any float
        pass
    if empty:
        what = f"; {HINTS[key]}" if key in HINTS else ""
        return [Problem(key, f"found {value!r}, which is empty", remedy + what)]
    if isinstance(value, str) and choices(hint):
        remedy += f"; {nearest_option(value, choices(hint))}".rstrip("; ")
    return [Problem(key, f"found {'null' if value is None else repr(value)}", remedy)]


def _dataclass(schema: type[Any], name: str) -> type[Any] | None:
    hint = get_type_hints(schema).get(name)
    return hint if inspect.isclass(hint) and dataclasses.is_dataclass(hint) else None


def _head(key: str) -> str:
    return key.partition(".")[0]


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
