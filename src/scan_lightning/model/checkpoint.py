"""Trained models as files: what a checkpoint says of the module, read without running code.

Under Lightning's `hyper_parameters` lies the specification of the module's parts (see specification.py),
under `state_dict` their weights. Both are tensors and plain values, read by `torch.load(weights_only=True)`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from scan_lightning.errors import ScanError
from scan_lightning.model.safe_load import load_plain
from scan_lightning.model.scan import ScanModel
from scan_lightning.model.trained import TrainedModel
from scan_lightning.similarity import Similarity
from scan_lightning.specification import from_specification

VERSION = 2
EXPECTED = (
    "a checkpoint of scan-lightning, such as RUN/checkpoints/best.ckpt (one of the released SCAN code is "
    "read by `scan-lightning import-checkpoint`)"
)
KINDS: dict[str, tuple[type, ...]] = {
    "model": (ScanModel,),
    "similarity": (Similarity,),
    "loss": (nn.Module,),
    "optimizer": (Optimizer,),
    "scheduler": (LRScheduler, ReduceLROnPlateau),
}
SCORING = ("model", "similarity")


def load(path: str | Path, trust: Sequence[str] = ()) -> TrainedModel:
    """Read a trained model from a checkpoint, onto the CPU.

    Args:
        path: a run's `checkpoints/best.ckpt` or `last.ckpt`, or what `import-checkpoint` wrote.
        trust: packages besides this one whose classes the checkpoint may name. Their code is run.

    Raises:
        ScanError: there is no such file, it is no complete, safe checkpoint of this version, or it names a
            class that is not trusted.
    """
    content = read_checkpoint(path)
    parts = build_parts(path, content, trust, SCORING)
    model, similarity = parts["model"], parts["similarity"]
    module = nn.ModuleDict({"model": model, "similarity": similarity})
    kept = {name: value for name, value in content["state_dict"].items() if not name.startswith("loss.")}
    check_state(path, module, kept)
    module.load_state_dict(kept)
    return TrainedModel(model, similarity)


def read_checkpoint(path: str | Path, *, lazily: bool = False) -> dict[str, Any]:
    """Return the content of a checkpoint, found to have a specification of this version and weights.

    Raises:
        ScanError: there is no such file, or it is none of ours.
    """
    content = load_plain(Path(path), expected=EXPECTED, lazily=lazily)
    content = content if isinstance(content, dict) else {}
    found, state = content.get("hyper_parameters"), content.get("state_dict")
    if not isinstance(found, dict) or "version" not in found or not isinstance(state, dict):
        raise ScanError(
            f"{path}: was not written by scan-lightning (no specification of its model in it); "
            f"expected {EXPECTED}"
        )
    if type(found["version"]) is not int or found["version"] != VERSION:
        raise ScanError(
            f"{path}: checkpoint version {found['version']!r:.40}, this scan-lightning reads version "
            f"{VERSION}; use the release that wrote it"
        )
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ScanError(
                f"{path}: {name!r:.80} in its state_dict is no tensor; take a checkpoint that was not edited"
            )
    return dict(content)


def build_parts(
    path: str | Path,
    content: Mapping[str, Any],
    trust: Sequence[str] = (),
    names: Sequence[str] = tuple(KINDS),
) -> dict[str, Any]:
    """Build parts of the module that a checkpoint describes, without their weights.

    Args:
        path: of the checkpoint, for messages.
        content: of the checkpoint.
        trust: packages besides this one whose classes it may name.
        names: which parts.

    Raises:
        ScanError: a part is missing, cannot be built, or is of a class that is not trusted.
    """
    parts: dict[str, Any] = {}
    for name in names:
        node = content["hyper_parameters"].get(name)
        if node is None and name == "scheduler":
            parts[name] = None
            continue
        if issubclass(KINDS[name][0], nn.Module) and not trust:
            # First without memory: sizes that the weights do not have are found before any is allocated.
            with torch.device("meta"):
                part = _build(path, name, node)
            check_state(path, part, _below(content["state_dict"], name))
        parts[name] = _build(path, name, node, trust)
    return parts


def _build(path: str | Path, name: str, node: Any, trust: Sequence[str] = ()) -> Any:
    allowed = () if issubclass(KINDS[name][0], nn.Module) else ("torch.optim",)
    try:
        return from_specification(node, KINDS[name], trust=trust, allowed=allowed)
    except ScanError as error:
        raise ScanError(f"{path}: {name}: {error}") from error
    except Exception as error:  # whatever a constructor makes of values that nobody would give it
        raise ScanError(
            f"{path}: {name}: cannot be built ({error!s:.200}); take a checkpoint that was not edited"
        ) from error


def check_state(
    path: str | Path,
    module: nn.Module,
    state: Mapping[str, Tensor],
    remedy: str = "Take a checkpoint that was not edited",
) -> None:
    """Refuse weights that are not exactly those of a module.

    Raises:
        ScanError: a tensor is missing, unknown, or of another type or shape.
    """
    expected = {name.replace("_orig_mod.", ""): value for name, value in module.state_dict().items()}
    problems = [f"no {name}" for name in expected if name not in state]
    problems += [f"{name!s:.80}, which the model does not have" for name in state if name not in expected]
    problems += [
        f"{name} {_kind(state[name], stored=True)} instead of {_kind(expected[name])}"
        for name in expected
        if name in state and _kind(state[name], stored=True) != _kind(expected[name])
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ScanError(
            f"{path}: its weights do not fit its own specification: it holds {'; '.join(problems[:3])}"
            f"{more}. {remedy}"
        )


def _kind(tensor: Tensor, *, stored: bool = False) -> str:
    if tensor.is_nested:  # has no shape
        return "a nested tensor"
    layout = "" if tensor.layout is torch.strided else f" {tensor.layout}"
    size = tensor.numel() * tensor.element_size()
    if stored and not layout and (tensor.is_meta or tensor.untyped_storage().nbytes() < size):
        layout = " without its numbers"  # a shape alone, or one number repeated
    return f"{str(tensor.dtype).removeprefix('torch.')}{layout} {tuple(tensor.shape)}"


def _below(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    prefix = f"{name}."
    return {
        key.removeprefix(prefix): value
        for key, value in state.items()
        if isinstance(key, str) and key.startswith(prefix)
    }
