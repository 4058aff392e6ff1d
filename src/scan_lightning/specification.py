"""Objects as plain values and back: `{"_target_": "package.module.Class", argument: value, ...}`.

This is how a checkpoint says what to build. It holds no pickled object, and what it names is built only when
it is a class of this package, or of a package that the caller trusts by name.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Self, get_args, get_origin

from torch import nn

from scan_lightning.errors import ScanError
from scan_lightning.options import NODE, check_arguments, options_of, takes_any_keyword

PARTIAL = "_partial_"
EXTRAS = ("groups", "interval", "frequency", "monitor")  # of a partial, taken out before it is built
OURS = "scan_lightning"
ARGUMENTS = "_arguments"
WORKING_DIRECTORY = "SCAN_LIGHTNING_CWD"  # where the command was given, for processes it starts


class Configurable:
    """A class whose objects know the arguments they were built with, checked by the hints of its constructor.

    Raises:
        ValueError: an argument of another type or out of its range.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Keep the arguments."""
        self = super().__new__(cls)
        try:
            bound = inspect.signature(cls).bind(*args, **kwargs)
        except TypeError:  # copies are made without arguments; wrong ones are the constructor's to refuse
            return self
        bound.apply_defaults()
        arguments: dict[str, Any] = {}
        for name, parameter in inspect.signature(cls).parameters.items():
            value = bound.arguments[name]
            if parameter.kind is parameter.VAR_KEYWORD:
                arguments.update(value)
            elif parameter.kind is not parameter.VAR_POSITIONAL:
                arguments[name] = value
        self.__dict__[ARGUMENTS] = check_arguments(cls, arguments)
        return self


def specification(value: Any, name: str = "") -> Any:
    """An object as plain values.

    Args:
        value: a `Configurable`, a `functools.partial` of a class, or nested plain values.
        name: what it is, for messages.

    Raises:
        ScanError: it cannot be written down, such as a lambda or a tensor.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping) and all(isinstance(key, str | int | float) for key in value):
        return {key: specification(item, f"{name}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [specification(item, name) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, functools.partial) and isinstance(value.func, type):
        named = inspect.signature(value.func).bind_partial(*value.args).arguments
        keywords = specification({**named, **value.keywords}, name)
        return {NODE: class_path(value.func), PARTIAL: True, **keywords}
    if isinstance(value, type):
        return {NODE: class_path(value), PARTIAL: True}
    value = getattr(value, "_orig_mod", value)  # what torch.compile has wrapped
    if ARGUMENTS in getattr(value, "__dict__", {}):
        return {NODE: class_path(type(value)), **specification(value.__dict__[ARGUMENTS], name)}
    raise ScanError(
        f"{name or 'value'}: {value!r} cannot be kept in a checkpoint; expected plain values, a class, a "
        "functools.partial of a class, or an object of a class that derives from scan_lightning's"
    )


def class_path(cls: type) -> str:
    """`package.module.Class`."""
    return f"{cls.__module__}.{cls.__qualname__}"


def from_specification(
    node: Any, kind: type | tuple[type, ...], *, trust: Sequence[str] = (), allowed: Sequence[str] = ()
) -> Any:
    """Build what a specification describes.

    Args:
        node: plain values, from a file that anyone may have written.
        kind: the class that its object must be of.
        trust: packages besides this one whose classes may be built.
        allowed: packages of others that are safe for this kind, such as `torch.optim`.

    Raises:
        ScanError: it names no class, one that is not trusted, one of another kind, or arguments that do not
            fit.
    """
    if not isinstance(node, Mapping) or not isinstance(node.get(NODE), str):
        raise ScanError(f"found {node!r:.80}, expected a mapping with {NODE}")
    cls = trusted_class(node[NODE], kind, trust=trust, allowed=allowed)
    options = options_of(cls)
    arguments: dict[str, Any] = {}
    for name, value in node.items():
        if name in (NODE, PARTIAL):
            continue
        extra = node.get(PARTIAL) is True and name in EXTRAS
        if not isinstance(name, str) or not (name in options or extra or takes_any_keyword(cls)):
            raise ScanError(f"{node[NODE]} takes no argument {name!r:.80}")
        hint = options[name].hint if name in options else Any
        arguments[name] = _argument(value, _kind_of(hint), trust=trust, allowed=allowed)
    try:
        arguments = check_arguments(cls, arguments)
        return functools.partial(cls, **arguments) if node.get(PARTIAL) is True else cls(**arguments)
    except (ValueError, TypeError) as error:
        raise ScanError(f"{node[NODE]}: {error}") from error


def _argument(value: Any, kind: type | tuple[type, ...], **trusted: Sequence[str]) -> Any:
    if isinstance(value, Mapping):
        if NODE in value:
            return from_specification(value, kind, **trusted)
        return {key: _argument(item, kind, **trusted) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [_argument(item, kind, **trusted) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    return value


def trusted_class(
    path: str, kind: type | tuple[type, ...], *, trust: Sequence[str] = (), allowed: Sequence[str] = ()
) -> type:
    """The class that a dotted path names.

    Raises:
        ScanError: it lies in no trusted package, is no class, or is none of `kind`. Nothing outside trusted
            packages is imported.
    """
    module_name, _, name = path.rpartition(".")
    packages = (OURS, *trust, *allowed)
    if not _inside(module_name, packages) or module_name == f"{OURS}.__main__":
        package = module_name.partition(".")[0]
        raise ScanError(
            f"names the class {path!r}, which is code outside of scan_lightning and is not imported. If you "
            f"trust its author, allow it: trust=[{package}] (in Python trust=({package!r},), in other "
            f"commands --trust {package})"
        )
    search_working_directory()
    try:
        found = vars(import_module(module_name)).get(name)
    except ImportError as error:
        raise ScanError(f"names the class {path!r}, whose module cannot be imported ({error})") from error
    if not isinstance(found, type) or not _inside(found.__module__, packages):
        raise ScanError(f"names {path!r}, which is no class of {module_name}")
    if not issubclass(found, kind):
        wanted = " or ".join(item.__name__ for item in (kind if isinstance(kind, tuple) else (kind,)))
        raise ScanError(f"names {path!r}, which is no {wanted}")
    return found


def search_working_directory() -> None:
    """Let modules be found in the folder where the command was given, after all others."""
    here = os.environ.get(WORKING_DIRECTORY) or os.getcwd()  # noqa: PTH109
    if here not in sys.path:
        sys.path.append(here)


def _inside(module: str, packages: Sequence[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def _kind_of(hint: Any) -> type | tuple[type, ...]:
    """The class of objects that an argument of this hint takes; modules and configurables by default."""
    if isinstance(hint, type) and hint not in (object,):
        return hint
    found: list[type] = []
    for part in get_args(hint):
        if get_origin(part) in (Callable, type):
            inner = _kind_of(get_args(part)[-1])
        else:
            inner = part if isinstance(part, type) and part is not type(None) else ()
        found += inner if isinstance(inner, tuple) else [inner]
    return tuple(found) or (nn.Module, Configurable)
