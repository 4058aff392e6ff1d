"""What the arguments of a class or function take, read off its signature: the one home of every option.

The command line, `--help`, checkpoints and constructors all check values by the type hints read here. A range
stands beside the type: `smoothing: Annotated[float, Range(above=0)] = 9.0`.
"""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

REQUIRED = inspect.Parameter.empty
ANY_NODE = "a node with _target_"
NODE = "_target_"  # the key of a mapping that names a class


@dataclass(frozen=True)
class Range:
    """The values a number may take: within the bounds, or equal to `special`."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    special: int | None = None
    special_meaning: str = ""

    def allows(self, value: float) -> bool:
        """Whether `value` may be used; NaN never may."""
        if self.special is not None and value == self.special:
            return True
        return (
            math.isfinite(value)
            and (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
        )

    def __str__(self) -> str:
        bounds = {"at least": self.at_least, "above": self.above, "at most": self.at_most}
        text = ", ".join(f"{name} {bound:.12g}" for name, bound in bounds.items() if bound is not None)
        return text if self.special is None else f"{text}, or {self.special}: {self.special_meaning}"


@dataclass(frozen=True)
class Option:
    """One argument of a class or function.

    Attributes:
        name: of the argument.
        hint: its type, `Any` where there is none or it cannot be resolved.
        default: `REQUIRED` when there is none.
        meaning: its line under `Args:` in the documentation.
    """

    name: str
    hint: Any
    default: Any
    meaning: str

    @property
    def required(self) -> bool:
        """Whether a value must be given."""
        return self.default is REQUIRED


def options_of(target: Callable[..., Any]) -> dict[str, Option]:
    """The named arguments of a class's constructor or of a function, `self` left out, in order."""
    hints = _hints(target)
    meanings = _meanings(target)
    return {
        name: Option(name, hints.get(name, Any), parameter.default, meanings.get(name, ""))
        for name, parameter in inspect.signature(target).parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }


def takes_any_keyword(target: Callable[..., Any]) -> bool:
    """Whether `target` has `**kwargs`, so that an unknown name is no error."""
    return any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in inspect.signature(target).parameters.values()
    )


def coerce(hint: Any, value: Any) -> Any:
    """`value` as what `hint` says: an integer becomes a float, a number a string where one is wanted.

    Args:
        hint: a type hint. Of a hint that is no plain type, nothing is checked.
        value: a plain value, a mapping with `_target_` or an object.

    Raises:
        ValueError: it is of another type or out of its range.
    """
    limits, hint = _range(hint)
    origin = get_origin(hint)
    if hint is Any or isinstance(hint, str) or _is_node(value):
        return value
    if origin in (Union, types.UnionType):
        return _coerce_union(get_args(hint), value)
    if hint in (None, types.NoneType):
        _require(value is None)
        return None
    if origin is Literal:
        value = value.value if isinstance(value, Enum) else value
        _require(value in get_args(hint) and type(value) in {type(member) for member in get_args(hint)})
        return value
    if hint in (list, tuple, Sequence) or origin in (list, tuple, Sequence):
        _require(isinstance(value, Sequence) and not isinstance(value, str))
        elements = get_args(hint) or (Any,)
        if origin is tuple and Ellipsis not in elements:
            _require(len(value) == len(elements))
        else:
            elements = (elements[0],) * len(value)
        items = [coerce(element, item) for element, item in zip(elements, value, strict=True)]
        return tuple(items) if tuple in (hint, origin) else items
    if hint in (dict, Mapping) or origin in (dict, Mapping):
        _require(isinstance(value, Mapping))
        return value
    return _coerce_plain(hint, value, limits)


def describe(hint: Any) -> str:
    """What `hint` takes, in words, such as `one of t2i, i2t` or `a number, above 0`."""
    limits, hint = _range(hint)
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        others = [describe(part) for part in get_args(hint) if get_origin(_range(part)[1]) is not Literal]
        parts = list(dict.fromkeys([*_one_of(choices(hint)), *others]))
        plain = [part for part in parts if part not in ("null", ANY_NODE)]
        return " or ".join(part for part in parts if part != ANY_NODE or not plain)
    if origin is Literal:
        return _one_of(choices(hint))[0]
    if hint in (None, types.NoneType):
        return "null"
    if origin in (list, tuple, Sequence) or hint in (list, tuple, Sequence):
        element = (get_args(hint) or (Any,))[0]
        return "a list of strings, such as [a,b]" if element is str else f"a list, each {describe(element)}"
    if origin in (dict, Mapping) or hint in (dict, Mapping):
        return "a mapping"
    words = {bool: "true or false", int: "an integer", float: "a number", str: "a string", Path: "a path"}
    if hint not in words:
        return "any value" if hint is Any else ANY_NODE
    return f"{words[hint]}, {limits}" if limits is not None else words[hint]


def choices(hint: Any) -> list[str]:
    """The words a hint allows, when it is a closed list of them."""
    _, hint = _range(hint)
    if get_origin(hint) in (Union, types.UnionType):
        return [word for part in get_args(hint) for word in choices(part)]
    return [str(member) for member in get_args(hint)] if get_origin(hint) is Literal else []


def _one_of(words: list[str]) -> list[str]:
    return ["one of " + ", ".join(dict.fromkeys(words))] if words else []


def check_arguments(target: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as their hints say.

    Raises:
        ValueError: one of another type or out of its range; the message names it.
    """
    hints = _hints(target)
    checked = {}
    for name, value in arguments.items():
        try:
            checked[name] = coerce(hints.get(name, Any), value)
        except ValueError:
            raise ValueError(f"{name} must be {describe(hints[name])}, not {value!r:.200}") from None
    return checked


def _coerce_union(parts: Sequence[Any], value: Any) -> Any:
    # An exact type first: True is no number of a union that has bool, 1 stays an integer where there is int.
    for part in sorted(parts, key=lambda part: _range(part)[1] is not type(value)):
        try:
            return coerce(part, value)
        except ValueError:
            continue
    raise ValueError


def _coerce_plain(hint: Any, value: Any, limits: Range | None) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint in (str, Path):  # a name made of digits is read as a number
        _require(isinstance(value, str | Path) or (number and hint is str))
        return str(value) if hint is str else value
    if hint is bool:
        _require(isinstance(value, bool))
        return value
    if hint in (int, float):
        _require(number and (hint is float or isinstance(value, int)))
        _require(math.isfinite(value) and (limits is None or limits.allows(value)))
        return hint(value)
    # A class of objects: a plain value cannot be one of them.
    if isinstance(hint, type) and isinstance(value, str | int | float | list | Mapping):
        _require(isinstance(value, hint))
    return value


def _require(fine: bool) -> None:
    if not fine:
        raise ValueError


def _is_node(value: Any) -> bool:
    return isinstance(value, Mapping) and NODE in value


def _range(hint: Any) -> tuple[Range | None, Any]:
    if get_origin(hint) is not Annotated:
        return None, hint
    hint, *extras = get_args(hint)
    return next((extra for extra in extras if isinstance(extra, Range)), None), hint


def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    function = target.__init__ if isinstance(target, type) else target  # type: ignore[misc]
    function = inspect.unwrap(function)
    try:
        return get_type_hints(function, include_extras=True)
    except Exception:  # a name that exists for type checkers only
        return {}


def _meanings(target: Callable[..., Any]) -> dict[str, str]:
    """What each argument means: the lines under `Args:` of the documentation."""
    _, _, text = inspect.cleandoc(target.__doc__ or "").partition("\nArgs:\n")
    meanings: dict[str, str] = {}
    name = ""
    for line in text.partition("\n\n")[0].splitlines():
        head, colon, rest = line.strip().partition(": ")
        if colon and head.isidentifier() and len(line) - len(line.lstrip()) == 4:
            name = head
            meanings[name] = rest
        elif name:
            meanings[name] += " " + line.strip()
    return meanings
