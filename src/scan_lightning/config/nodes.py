"""Nodes of a configuration: what they are, which keys they take, and how they are made into objects.

A node is a mapping whose `_target_` names a class or function by its dotted path. The command line and the
folders it names decide what is imported; a checkpoint never does (see specification.py).
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Annotated, Any, Literal, get_type_hints

import hydra
from hydra._internal.utils import _locate

from scan_lightning.config.nearest import nearest_option
from scan_lightning.errors import ScanError
from scan_lightning.options import NODE, Option, Range, options_of
from scan_lightning.specification import search_working_directory

MISSING = "???"  # OmegaConf's mark of a value that the user has to give
PARTIAL = "_partial_"
HYDRA_KEYS = (NODE, PARTIAL, "_args_", "_recursive_", "_convert_")
NAMED = ("callbacks", "logger")  # sections that are mappings from a name to a node
# Arguments that the program gives.
GIVEN = {
    "data": ("vocabulary", "test_split"),
    "model": ("feature_dim", "vocabulary"),
    "optimizer": ("params",),
    "scheduler": ("optimizer", "total_steps", "epoch_steps"),
    "trainer": (
        *("callbacks", "logger", "default_root_dir", "enable_checkpointing"),
        *("use_distributed_sampler", "barebones"),
    ),
    "logger": ("config", "resumed"),
}
# Keys of a node that are taken out before its class is built, with what they take.
EXTRAS: dict[str, dict[str, Any]] = {
    "optimizer": {"groups": Mapping},
    "scheduler": {
        "interval": Literal["epoch", "step"],
        "frequency": Annotated[int, Range(at_least=1)],
        "monitor": str,
    },
}


def locate(path: str) -> Callable[..., Any]:
    """The class or function of a dotted path; modules are found in the working directory too.

    Raises:
        ScanError: there is none.
    """
    search_working_directory()
    try:
        found = _locate(path)  # hydra.utils.get_object also logs what it raises
    except Exception as error:
        cause = error.__cause__ or error
        raise ScanError(f"{path} cannot be imported ({first_line(cause)}); {_nearest(path)}") from error
    if not callable(found):
        raise ScanError(f"{path} is no class or function; name one")
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
        raise ScanError(f"{key}: {node[NODE]} cannot be built ({first_line(cause)})") from error


def partial(node: Mapping[str, Any], key: str) -> Any:
    """The class that a node describes, with its arguments, to be called with those that the program gives."""
    inner = {
        name: {**value, PARTIAL: True}
        for name, value in node.items()
        if key == "model" and isinstance(value, Mapping) and NODE in value
    }
    return instantiate({**node, **inner, PARTIAL: True}, key)


def nodes(schema: type[Any], values: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The nodes of a config with their keys; callbacks and loggers are one each."""
    for name in options_of(schema):
        value = values.get(name)
        if not isinstance(value, Mapping) or section_class(schema, name):
            continue
        if name in NAMED:
            for inner, node in value.items():
                if isinstance(node, Mapping):
                    yield f"{name}.{inner}", node
        else:
            yield name, value


def known_keys(schema: type[Any], values: Mapping[str, Any]) -> list[str]:
    """Every key that may be set in a config, those of the nodes' signatures included."""
    keys: list[str] = []
    for name in options_of(schema):
        section = section_class(schema, name)
        keys += [f"{name}.{key}" for key in options_of(section)] if section else [name]
    for key, node in nodes(schema, values):
        keys += [f"{key}.{name}" for name in (*node_options(key, node), *EXTRAS.get(head(key), ()))]
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
    return {name: option for name, option in options.items() if name not in given(key)}


def given(key: str) -> tuple[str, ...]:
    """The arguments of a node that the program gives."""
    section = head(key)
    return (*GIVEN.get(section, ()), *(("embed_size",) if section == "model" and key != section else ()))


def section_class(schema: type[Any], name: str) -> type[Any] | None:
    """The dataclass of a section that is no node."""
    hint = get_type_hints(schema).get(name)
    return hint if inspect.isclass(hint) and dataclasses.is_dataclass(hint) else None


def head(key: str) -> str:
    """The section of a dotted key."""
    return key.partition(".")[0]


def first_line(error: BaseException) -> str:
    """An error's message, or its class where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _nearest(path: str) -> str:
    module, _, name = path.rpartition(".")
    elsewhere = "modules are found on the Python path and in the working directory"
    try:
        names = [key for key, value in vars(import_module(module)).items() if isinstance(value, type)]
    except Exception:
        return elsewhere
    hint = nearest_option(name, names).removeprefix("did you mean ")
    return f"did you mean {module}.{hint}" if hint else elsewhere
