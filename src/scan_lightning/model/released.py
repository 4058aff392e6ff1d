"""Checkpoints of the released SCAN code (Python 2.7, torch 0.3) as trained models of this one.

What is read: {"epoch", "model": [image encoder's state, text encoder's state], "best_rsum", "opt": Namespace,
"Eiters"}, in the stream that torch wrote before 1.6 (its name says .tar, but it is none) or in the zip
written since, by Python 2 or 3. torch's own restricted unpickler reads it with one more class allowed, the
Namespace, so the file can hold tensors and plain values and run nothing.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from scan_lightning.data.text import Vocabulary
from scan_lightning.data.treebank import NAME as TOKENIZER
from scan_lightning.errors import ScanError
from scan_lightning.model.checkpoint import VERSION, check_state
from scan_lightning.model.safe_load import load_plain
from scan_lightning.model.scan import ScanModel
from scan_lightning.similarity import Attention
from scan_lightning.specification import specification

AGGREGATIONS = {"LogSumExp": "lse", "Mean": "mean", "Max": "max", "Sum": "sum"}
WEIGHT_NORM = {  # torch's names for a weight-normalised layer, then and now
    "fc.weight_g": "fc.parametrizations.weight.original0",
    "fc.weight_v": "fc.parametrizations.weight.original1",
}


@dataclass(frozen=True)
class Released:
    """A released checkpoint, read and found complete.

    Attributes:
        model: of its shapes and settings, without its weights.
        similarity: of its options.
        state: the weights under the names of `ScanModel`, fp32.
        epoch: the epochs it was trained for, when the file says so.
    """

    model: ScanModel
    similarity: Attention
    state: dict[str, Tensor]
    epoch: int

    def checkpoint(self) -> dict[str, Any]:
        """Return the content of a checkpoint that `load` reads."""
        parts = {"model": specification(self.model), "similarity": specification(self.similarity)}
        return {
            "state_dict": {f"model.{name}": tensor for name, tensor in self.state.items()},
            "epoch": self.epoch,
            "hyper_parameters": {"version": VERSION, **parts},
        }


def read_released(path: Path, vocabulary: Path) -> Released:
    """Read a released checkpoint with the vocabulary it was trained with.

    Args:
        path: `model_best.pth.tar` or the like.
        vocabulary: its `*_precomp_vocab.json`.

    Raises:
        ScanError: a file is missing, something else, or the two do not belong together.
    """
    content = _read(path)
    image, text = content["model"]
    state = _state(path, image, text)
    words = read_vocabulary(vocabulary)
    rows, word_size = _shape(path, state, "text_encoder.embed.weight")
    if rows != len(words):
        raise ScanError(
            f"{vocabulary}: holds {len(words)} words, but the word embedding of {path} has {rows} rows; "
            "give the vocabulary that the model was trained with"
        )
    weight = next((name for name in state if name.endswith(("fc.weight", "weight.original1"))), "")
    embed_size, feature_dim = _shape(path, state, weight or "image_encoder.fc.weight")
    if "text_encoder.rnn.weight_ih_l1" in state:
        raise ScanError(f"{path}: its GRU has several layers; only models with one layer can be imported")
    options = vars(content["opt"])
    try:
        model = ScanModel(
            feature_dim,
            words,
            embed_size=embed_size,
            word_size=word_size,
            bidirectional="text_encoder.rnn.weight_ih_l0_reverse" in state,
            normalize_regions=not options["no_imgnorm"],
            normalize_words=not options["no_txtnorm"],
            weight_norm=weight.endswith("original1"),
        )
        similarity = Attention(
            options["cross_attn"],
            options["lambda_softmax"],
            options["raw_feature_norm"],
            AGGREGATIONS.get(options["agg_func"], options["agg_func"]),
            options["lambda_lse"],
        )
    except KeyError as error:
        raise ScanError(f"{path}: its options lack {error}; take a file that was not edited") from error
    except (ValueError, TypeError) as error:
        raise ScanError(f"{path}: its options cannot be used: {error}") from error
    check_state(path, model, state, "Only the released encoders for precomputed features can be imported")
    epoch = content.get("epoch", 0)
    return Released(model, similarity, state, epoch if isinstance(epoch, int) else 0)


def read_vocabulary(path: Path) -> Vocabulary:
    """Read a released vocabulary: JSON with word2idx, idx2word and idx.

    Raises:
        ScanError: missing, no JSON, or no such vocabulary.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        ids = {str(word): int(index) for word, index in content["word2idx"].items()}
        words = sorted(ids, key=ids.__getitem__)
        if sorted(ids.values()) != list(range(len(ids))):
            raise ValueError("ids are not 0, 1, 2, ...")
        return Vocabulary(words, TOKENIZER)
    except OSError as error:
        raise ScanError(
            f"{path}: cannot be read ({error.strerror}); expected a *_precomp_vocab.json"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ScanError(
            f"{path}: is no vocabulary of the released code ({error}); expected JSON with word2idx, such as "
            "f30k_precomp_vocab.json"
        ) from error


def _read(path: Path) -> dict[str, Any]:
    content = load_plain(
        path,
        expected="a checkpoint of the released SCAN code, such as model_best.pth.tar",
        allowed=[Namespace],
    )
    model = content.get("model") if isinstance(content, dict) else None
    pair = isinstance(model, list | tuple) and len(model) == 2 and all(isinstance(s, Mapping) for s in model)
    if not pair or not isinstance(content.get("opt"), Namespace):
        raise ScanError(
            f"{path}: is no checkpoint of the released SCAN code; expected 'model' (the states of two "
            "encoders) and 'opt' (its settings) in it"
        )
    return dict(content)


def _state(path: Path, image: Mapping[str, Any], text: Mapping[str, Any]) -> dict[str, Tensor]:
    named = {f"image_encoder.{WEIGHT_NORM.get(name, name)}": value for name, value in image.items()}
    named |= {f"text_encoder.{name}": value for name, value in text.items()}
    wrong = [name for name, value in named.items() if not isinstance(value, Tensor)]
    if wrong:
        raise ScanError(f"{path}: {wrong[0]} is no tensor; expected the weights of the released SCAN code")
    state = {name: value.detach().float().contiguous() for name, value in named.items()}
    norm = "image_encoder.fc.parametrizations.weight.original0"
    if norm in state and state[norm].numel() == 1:
        state[norm] = state[norm].reshape(())  # torch 0.3 knew no tensors without dimensions
    return state


def _shape(path: Path, state: Mapping[str, Tensor], name: str) -> tuple[int, int]:
    if name not in state or state[name].ndim != 2:
        raise ScanError(
            f"{path}: has no matrix {name}; expected the released encoders for precomputed features"
        )
    rows, columns = state[name].shape
    return rows, columns
