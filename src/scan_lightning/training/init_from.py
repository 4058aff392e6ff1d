"""A run's first weights from a checkpoint of another one, perhaps of another vocabulary."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch

from scan_lightning.data.text import Vocabulary
from scan_lightning.errors import ScanError
from scan_lightning.model.checkpoint import build_parts, read_checkpoint
from scan_lightning.training.module import ScanModule

EMBEDDING = "model.text_encoder.embed.weight"


def init_weights(module: ScanModule, path: str, trust: Sequence[str] = ()) -> None:
    """Copy the weights of a checkpoint; words that both vocabularies have keep their vectors.

    Args:
        module: with fresh weights; what the checkpoint does not have keeps them.
        path: of the checkpoint.
        trust: packages besides this one whose classes it may name.

    Raises:
        ScanError: no usable checkpoint, or one whose encoders have other shapes.
    """
    content = read_checkpoint(path)
    state, own = dict(content["state_dict"]), module.state_dict()
    old = getattr(build_parts(path, content, trust, ("model",))["model"].text_encoder, "vocabulary", None)
    new = getattr(module.model.text_encoder, "vocabulary", None)
    known = None
    if (
        isinstance(old, Vocabulary)
        and isinstance(new, Vocabulary)
        and EMBEDDING in state
        and EMBEDDING in own
    ):
        ids = {word: index for index, word in enumerate(old.words)}
        rows = [(index, ids[word]) for index, word in enumerate(new.words) if word in ids]
        target, source = (torch.tensor(side, dtype=torch.int64) for side in zip(*rows, strict=True))
        vectors = own[EMBEDDING].clone()
        if vectors.shape[1] == state[EMBEDDING].shape[1]:
            vectors[target] = state[EMBEDDING][source].to(vectors.dtype)
            state[EMBEDDING], known = vectors, len(rows)
    wrong = [name for name in own if name in state and own[name].shape != state[name].shape]
    if wrong or not any(name in state for name in own):
        what = (
            f"{wrong[0]} has shape {tuple(state[wrong[0]].shape)}, not {tuple(own[wrong[0]].shape)}"
            if wrong
            else ""
        )
        raise ScanError(
            f"init_from: {path}: its weights do not fit the model of this run "
            f"({what or 'no name is shared'}); give model settings of the same sizes (its run's config.yaml)"
        )
    module.load_state_dict({**own, **{name: value for name, value in state.items() if name in own}})
    fresh = sorted(name for name in own if name not in state)
    words = f", {known} of {len(new)} words known to both" if known is not None else ""  # type: ignore[arg-type]
    note = f"; fresh: {', '.join(fresh)}" if fresh else ""
    print(f"weights from {path}{words}{note}", file=sys.stderr)
