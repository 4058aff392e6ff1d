"""From loose values (YAML, the command line, a checkpoint) to the typed schema, every fault at once.

The walk compares a nested mapping with a schema of config.py: unknown keys with their nearest name,
wrong types, values out of range, values that are missing. It reads no file; `faults_of` stays pure so that
the launcher can put what it finds elsewhere (override keys, missing files) into the same report.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import Field, dataclass, fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from scan_lightning.errors import ScanError
from scan_lightning.limits import Limits
from scan_lightning.names import nearest_key, nearest_option
from scan_lightning.settings import MISSING

Config = TypeVar("Config")

HINTS = {  # what to give for a value that is required
    "data.path": "give data.path=FILE.h5, a store made by `scan-lightning data build`",
    "checkpoint": "give checkpoint=FILE.ckpt, for example a run's checkpoints/best.ckpt",
    "run_dir": "give run_dir=DIR, the folder of the run",
    "checkpoints": "give checkpoints=[A.ckpt,B.ckpt], the models whose similarities are averaged",
}


@dataclass(frozen=True)
class Fault:
    """One thing wrong with the configuration: where, what was found, what to do."""

    key: str
    found: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.key}: {self.found}; {self.remedy}"


def build(schema: type[Config], values: Mapping[str, Any]) -> Config:
    """Make a typed config of nested plain values; keys that are absent take their defaults.

    Args:
        schema: a dataclass of config.py, such as `TrainConfig`.
        values: what a config.yaml or a checkpoint holds, interpolations resolved.

    Raises:
        ScanError: one message with every fault.
    """
    config, faults = faults_of(schema, values)
    if faults:
        raise report(faults)
    assert config is not None
    return config


def faults_of(schema: type[Config], values: Mapping[str, Any]) -> tuple[Config | None, list[Fault]]:
    """The typed config, or None and what is wrong with `values`."""
    faults: list[Fault] = []
    config = _section(schema, values, "", faults, leaf_keys(schema))
    return (None if faults else config), faults


def report(faults: Sequence[Fault]) -> ScanError:
    """One error that lists all faults, each once."""
    lines = list(dict.fromkeys(str(fault) for fault in faults))
    if len(lines) == 1:
        return ScanError(lines[0])
    return ScanError(
        f"the configuration has {len(lines)} faults\n" + "\n".join(f"  {line}" for line in lines)
    )


def unknown_key(key: str, known: Sequence[str], value: str | None = None) -> Fault:
    """The fault of a key that no field has, with the nearest one that exists."""
    found = "there is no such key" if value is None else f"there is no such key (given {value})"
    return Fault(key, found, nearest_key(key, known))


def leaf_keys(schema: type[Any], prefix: str = "") -> list[str]:
    """Every key that holds a value, dotted, in the schema's order."""
    keys: list[str] = []
    hints = get_type_hints(schema)
    for item in fields(schema):
        if is_dataclass(hints[item.name]):
            keys += leaf_keys(hints[item.name], f"{prefix}{item.name}.")
        else:
            keys.append(prefix + item.name)
    return keys


def field_of(schema: type[Any], key: str) -> tuple[type[Any], Field[Any]]:
    """The dataclass that has a dotted key, and its field there."""
    *sections, name = key.split(".")
    for section in sections:
        schema = get_type_hints(schema)[section]
    return schema, next(item for item in fields(schema) if item.name == name)


def allowed(schema: type[Any], key: str) -> str:
    """What a key takes, in words, such as `one of t2i, i2t` or `a number, above 0`."""
    owner, item = field_of(schema, key)
    return _describe(get_type_hints(owner)[item.name], item.metadata.get("limits"))


def _section(schema: type[Any], values: Any, prefix: str, faults: list[Fault], known: list[str]) -> Any:
    if not isinstance(values, Mapping):
        faults.append(Fault(prefix.rstrip("."), f"found {values!r}", f"expected the keys {prefix}..."))
        return None
    hints = get_type_hints(schema)
    names = {item.name for item in fields(schema)}
    siblings = [prefix + name for name in names]
    faults += [unknown_key(f"{prefix}{name}", [*known, *siblings]) for name in values if name not in names]
    parsed: dict[str, Any] = {}
    for item in fields(schema):
        key, hint = prefix + item.name, hints[item.name]
        if isinstance(hint, type) and is_dataclass(hint):
            parsed[item.name] = _section(hint, values.get(item.name, {}), f"{key}.", faults, known)
            continue
        value = values[item.name] if item.name in values else _default(item)
        if value == MISSING:
            faults.append(Fault(key, "missing", HINTS.get(key, f"give {key}=VALUE")))
            continue
        try:
            parsed[item.name] = _value(hint, value, item.metadata.get("limits"))
        except (ValueError, OverflowError):  # an integer may be too large for any float
            faults.append(_wrong_value(key, value, hint, item.metadata.get("limits")))
    return None if faults else schema(**parsed)


def _default(item: Field[Any]) -> Any:
    if item.default_factory is not NO_DEFAULT:
        return item.default_factory()
    return item.default


def _value(hint: Any, value: Any, limits: Limits | None) -> Any:
    """`value` as the type `hint`. Raises ValueError when it is of another type or out of range."""
    if get_origin(hint) is UnionType:  # X | None
        if value is None:
            return None
        (hint,) = (option for option in get_args(hint) if option is not NoneType)
    if get_origin(hint) is list:
        if not isinstance(value, list | tuple):
            raise ValueError
        return [_value(get_args(hint)[0], element, limits) for element in value]
    if issubclass(hint, Enum):
        return hint(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint is str:  # a name made of digits is read as a number
        if not (isinstance(value, str) or number) or not str(value).strip():
            raise ValueError
        return str(value)
    if hint is bool:
        if not isinstance(value, bool):
            raise ValueError
        return value
    if not number or (hint is int and not isinstance(value, int)):
        raise ValueError
    if not math.isfinite(value) or (limits is not None and not limits.allow(value)):
        raise ValueError
    return hint(value)


def _wrong_value(key: str, value: Any, hint: Any, limits: Limits | None) -> Fault:
    remedy = f"expected {_describe(hint, limits)}"
    if isinstance(value, str) and not value.strip() and str in (hint, *get_args(hint)):
        what = f"; {HINTS[key]}" if key in HINTS else ""
        return Fault(key, f"found {value!r}, which is empty", remedy + what)
    if isinstance(value, float) and not math.isfinite(value):
        return Fault(key, f"found {value!r}, which is not finite", remedy)
    if isinstance(value, str) and isinstance(hint, type) and issubclass(hint, Enum):
        remedy += f"; {nearest_option(value, [member.value for member in hint])}".rstrip("; ")
    return Fault(key, f"found {'null' if value is None else repr(value)}", remedy)


def _describe(hint: Any, limits: Limits | None) -> str:
    if get_origin(hint) is UnionType:
        return " or ".join("null" if part is NoneType else _describe(part, limits) for part in get_args(hint))
    if get_origin(hint) is list:
        (element,) = get_args(hint)
        return (
            "a list of texts, such as [a,b]"
            if element is str
            else f"a list, each {_describe(element, limits)}"
        )
    if issubclass(hint, Enum):
        return "one of " + ", ".join(member.value for member in hint)
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}[hint]
    return f"{words}, {limits}" if limits is not None else words
