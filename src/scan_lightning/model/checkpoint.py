"""Trained models as files: what a checkpoint carries besides Lightning's own state, and how it is read.

A checkpoint needs nothing beside it: the resolved configuration, the vocabulary and the tokeniser's name lie
in it as plain values, so `torch.load(weights_only=True)` always reads it and no code in it is ever run.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from scan_lightning.config import TrainConfig, plain
from scan_lightning.data.text import Vocabulary, tokenizer
from scan_lightning.errors import ScanError
from scan_lightning.model.safe_load import forbidden, load_plain
from scan_lightning.model.scan import ScanModel
from scan_lightning.model.trained import TrainedModel
from scan_lightning.validate import build

KEY = "scan_lightning"
VERSION = 1


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
        vocabulary = Vocabulary(found["vocabulary"])
        tokenizer(found["tokenizer"])
    except (ScanError, ValueError, TypeError) as error:
        raise ScanError(f"{path}: {error}") from error
    state = _network_state(path, content["state_dict"])
    rows = len(state.get("text_encoder.embed.weight", []))
    if rows != len(vocabulary):
        raise ScanError(
            f"{path}: the word embedding has {rows} rows, but the vocabulary "
            f"{len(vocabulary)} words. They do not belong together; take a checkpoint that was not edited."
        )
    network = ScanModel(found["feature_dim"], len(vocabulary), config.model)
    _load_weights(path, network, state)
    return TrainedModel(network, config, vocabulary, found["tokenizer"])


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise ScanError(
            f"{path}: there is no such file; expected a checkpoint, such as RUN/checkpoints/best.ckpt"
        )
    if path.is_dir():
        raise ScanError(f"{path}: is a folder; expected a file, such as {path}/checkpoints/best.ckpt")
    try:
        content = load_plain(path)
    except PermissionError as error:
        raise ScanError(f"{path}: cannot be read ({error.strerror})") from error
    except pickle.UnpicklingError as error:
        name = forbidden(error)
        if name is not None:
            raise ScanError(
                f"{path}: holds more than tensors and plain values ({name}), so it is not loaded. A "
                "checkpoint of the released SCAN code is read by `scan-lightning import-checkpoint`."
            ) from error
        raise ScanError(f"{path}: is no checkpoint; expected a .ckpt file of scan-lightning") from error
    except Exception as error:  # RuntimeError, EOFError, KeyError: torch raises what the damage hits
        raise ScanError(
            f"{path}: is no checkpoint, or cut short ({_first_line(error)}); copy or train it again"
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("state_dict"), dict) or KEY not in content:
        raise ScanError(
            f"{path}: was not written by scan-lightning (no '{KEY}' in it), so its settings are "
            "unknown. A checkpoint of the released SCAN code is read by `scan-lightning import-checkpoint`."
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


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
