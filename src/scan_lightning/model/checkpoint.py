"""Trained models as files: what a checkpoint carries besides Lightning's own state, and how it is read.

A checkpoint needs nothing beside it: the resolved configuration, the vocabulary and the tokeniser's name lie
in it as plain values, so `torch.load(weights_only=True)` always reads it and no code in it is ever run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from scan_lightning.config import TrainConfig, plain
from scan_lightning.data.text import Vocabulary
from scan_lightning.errors import ScanError
from scan_lightning.model.safe_load import load_plain
from scan_lightning.model.scan import ScanModel
from scan_lightning.model.trained import TrainedModel
from scan_lightning.validate import build

KEY = "scan_lightning"
VERSION = 1
EMBEDDING = "text_encoder.embed.weight"
EXPECTED = (
    "a checkpoint of scan-lightning, such as RUN/checkpoints/best.ckpt (one of the released SCAN code is "
    "read by `scan-lightning import-checkpoint`)"
)


def payload(
    config: TrainConfig, vocabulary: Vocabulary, tokenizer_name: str, feature_dim: int
) -> dict[str, Any]:
    """Return what a checkpoint holds under `KEY`, plain values only."""
    return {
        "version": VERSION,
        "config": plain(config),
        "vocabulary": list(vocabulary.words),
        "tokenizer": tokenizer_name,
        "feature_dim": feature_dim,
    }


def load(path: str | Path) -> TrainedModel:
    """Read a trained model from a checkpoint, onto the CPU.

    Args:
        path: a run's `checkpoints/best.ckpt` or `last.ckpt`, or what `import-checkpoint` wrote.

    Raises:
        ScanError: there is no such file, or it is no whole, safe checkpoint of this version.
    """
    path = Path(path)
    content = _read(path)
    found = _plain_payload(path, content)
    try:
        config = build(TrainConfig, found["config"])
        vocabulary = Vocabulary(found["vocabulary"], found["tokenizer"])
    except (ScanError, ValueError, TypeError) as error:
        raise ScanError(f"{path}: {error}") from error
    state = _network_state(path, content["state_dict"])
    if EMBEDDING not in state:
        raise ScanError(
            f"{path}: the word embedding is missing from its weights (no '{EMBEDDING}'); take a checkpoint "
            "that was not edited"
        )
    rows = len(state[EMBEDDING]) if state[EMBEDDING].ndim else 0
    if rows != len(vocabulary):
        raise ScanError(
            f"{path}: the word embedding has {rows} rows, but the vocabulary "
            f"{len(vocabulary)} words. They do not belong together; take a checkpoint that was not edited."
        )
    network = ScanModel(found["feature_dim"], len(vocabulary), config.model)
    _load_weights(path, network, state)
    return TrainedModel(network, config, vocabulary, found["tokenizer"])


def _read(path: Path) -> dict[str, Any]:
    content = load_plain(path, expected=EXPECTED)
    if not isinstance(content, dict) or not isinstance(content.get("state_dict"), dict) or KEY not in content:
        raise ScanError(
            f"{path}: was not written by scan-lightning (no '{KEY}' in it), so its settings are unknown; "
            f"expected {EXPECTED}"
        )
    return content


def _plain_payload(path: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    found = content[KEY]
    version = found.get("version") if isinstance(found, dict) else None
    if version != VERSION:
        raise ScanError(
            f"{path}: checkpoint version {version}, this scan-lightning reads version {VERSION}; "
            "use the release that wrote it"
        )
    types = {"config": dict, "vocabulary": list, "tokenizer": str, "feature_dim": int}
    for name, kind in types.items():
        if not isinstance(found.get(name), kind):
            raise ScanError(
                f"{path}: '{KEY}' in it has no valid '{name}'; take a checkpoint that was not edited"
            )
    result: dict[str, Any] = found
    return result


def _network_state(path: Path, state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The encoders' weights among the state of the LightningModule."""
    prefix = "model."
    names = {name.removeprefix(prefix): value for name, value in state.items()}
    wrong = [name for name, value in names.items() if not isinstance(value, Tensor)]
    if wrong:
        raise ScanError(f"{path}: '{wrong[0]}' in its state_dict is no tensor; take a checkpoint not edited")
    return names


def _load_weights(path: Path, network: ScanModel, state: Mapping[str, Tensor]) -> None:
    expected = network.state_dict()
    faults = [f"no {name}" for name in expected if name not in state]
    faults += [f"{name}, which the model does not have" for name in state if name not in expected]
    faults += [
        f"{name} of shape {tuple(state[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in expected
        if name in state and state[name].shape != expected[name].shape
    ]
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ScanError(
            f"{path}: its weights do not fit its own configuration: it holds {'; '.join(faults[:3])}{more}"
        )
    network.load_state_dict(dict(state))
