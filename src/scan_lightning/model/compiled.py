"""Encoders that torch.compile has wrapped, saved and loaded under the names of the encoders themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

COMPILED = "_orig_mod."  # torch.compile's prefix of a wrapped module's names


def keep_names_when_compiled(module: nn.Module) -> None:
    """Let the state of a module have the same names whether its parts are compiled or not."""
    module.register_state_dict_post_hook(_drop_prefix)  # type: ignore[no-untyped-call]
    module.register_load_state_dict_pre_hook(_add_prefix)  # type: ignore[no-untyped-call]


def _drop_prefix(
    module: nn.Module, state_dict: dict[str, Any], prefix: str, local_metadata: Mapping[str, Any]
) -> None:
    """Save the weights of encoders that torch.compile has wrapped under the names of the encoders."""
    for name in [name for name in state_dict if name.startswith(prefix) and COMPILED in name]:
        state_dict[name.replace(COMPILED, "")] = state_dict.pop(name)


def _add_prefix(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Load weights into encoders that torch.compile has wrapped."""
    own = [*dict(module.named_parameters()), *dict(module.named_buffers())]
    for name in own:
        plain = prefix + name.replace(COMPILED, "")
        if COMPILED in name and plain in state_dict:
            state_dict[prefix + name] = state_dict.pop(plain)
