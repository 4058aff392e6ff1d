"""Writes files as torch 0.3 and Python 2.7 wrote them: `torch.save` before the zip, `cPickle` protocol 2."""

from __future__ import annotations

import argparse
import io
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any, ClassVar

import torch

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001


class Pickler2(pickle._Pickler):  # type: ignore[name-defined, misc]
    """Pickles like Python 2: str is bytes, an OrderedDict is rebuilt from a list of pairs."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def __init__(self, file: io.BytesIO, cuda: bool = False) -> None:
        super().__init__(file, protocol=2, fix_imports=True)
        self.cuda = cuda
        self.storages: OrderedDict[str, torch.Tensor] = OrderedDict()

    def save_str(self, text: str) -> None:
        data = text.encode("utf-8")
        assert len(data) < 256
        self.write(pickle.SHORT_BINSTRING + bytes([len(data)]) + data)
        self.memoize(text)

    dispatch[str] = save_str

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, OrderedDict):
            return OrderedDict, ([[key, item] for key, item in value.items()],)
        if isinstance(value, torch.Tensor):
            key = str(94390000 + len(self.storages))
            self.storages[key] = value
            stride = value.stride() if value.ndim else (1,)
            size = tuple(value.shape) if value.ndim else (1,)  # no tensors without dimensions then
            return torch._utils._rebuild_tensor, (Storage(key, value.numel()), 0, size, stride)
        return NotImplemented

    def persistent_id(self, value: Any) -> Any:
        if not isinstance(value, Storage):
            return None
        kind, place = (torch.cuda.FloatStorage, "cuda:0") if self.cuda else (torch.FloatStorage, "cpu")
        return "storage", kind, value.key, place, value.size, None


class Storage:
    """Stands for a tensor's storage in the pickle."""

    def __init__(self, key: str, size: int) -> None:
        self.key, self.size = key, size


def save(content: Any, path: Path, *, cuda: bool = False) -> None:
    """Write `content` to `path`."""
    out = io.BytesIO()
    little = {"protocol_version": PROTOCOL, "little_endian": True}
    for header in (MAGIC, PROTOCOL, {**little, "type_sizes": {"short": 2, "int": 4, "long": 4}}):
        Pickler2(out).dump(header)
    pickler = Pickler2(out, cuda)
    pickler.dump(content)
    keys = sorted(pickler.storages)
    Pickler2(out).dump(keys)
    for key in keys:
        tensor = pickler.storages[key].contiguous()
        out.write(struct.pack("<q", tensor.numel()) + tensor.numpy().astype("<f4").tobytes())
    path.write_bytes(out.getvalue())


def options(**changes: Any) -> argparse.Namespace:
    """The released code's options with their defaults, as of the i-t LSE row."""
    values: dict[str, Any] = {
        "data_path": "/data/søk/f30k",
        "data_name": "f30k_precomp",
        "vocab_path": "./vocab/",
        "margin": 0.2,
        "num_epochs": 30,
        "batch_size": 128,
        "word_dim": 5,
        "embed_size": 8,
        "grad_clip": 2.0,
        "num_layers": 1,
        "learning_rate": 0.0002,
        "lr_update": 15,
        "workers": 10,
        "log_step": 100,
        "val_step": 500,
        "logger_name": "runs/f30k_scan/log",
        "model_name": "runs/f30k_scan/model",
        "resume": "",
        "max_violation": True,
        "img_dim": 6,
        "no_imgnorm": False,
        "no_txtnorm": False,
        "raw_feature_norm": "clipped_l2norm",
        "agg_func": "LogSumExp",
        "cross_attn": "i2t",
        "precomp_enc_type": "basic",
        "bi_gru": True,
        "lambda_lse": 5.0,
        "lambda_softmax": 4.0,
        "vocab_size": 12,
    }
    return argparse.Namespace(**{**values, **changes})
