"""What a stranger's checkpoint may name and hold: never a function, no code, no sizes its weights lack."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import scan_lightning
from checkpoint.conftest import small_model
from scan_lightning.errors import ScanError
from scan_lightning.similarity import Attention
from scan_lightning.specification import from_specification
from scan_lightning.training.module import ScanModule

Change = Callable[[dict[str, Any]], None]

FUNCTIONS = [
    "os.system",
    "torch.os.system",
    "torch.hub.load",
    "torch.optim.adam.Tensor",
    "builtins.eval",
    "evil_package.Evil",
    "evil_package.deeper.Evil",
    "scan_lightning_evil.Evil",
    "scan_lightning.__main__.main",
    "scan_lightning.cli.main",
    "scan_lightning.model.checkpoint.load",
    "scan_lightning.model.checkpoint.torch.os.system",
    "scan_lightning.files.os.system",
    "scan_lightning.files.Path",
    "scan_lightning.similarity.Attention.forward",
    "scan_lightning.similarity",
    "scan_lightning.evil_package.Evil",
    "scan_lightning..Evil",
    "Attention",
    ".",
    "",
]
PLACES: list[tuple[str, ...]] = [
    ("similarity",),
    ("model",),
    ("model", "regions"),
    ("model", "vocabulary"),
    ("model", "embed_size"),
    ("similarity", "direction"),
    ("loss",),
    ("optimizer",),
    ("scheduler",),
]


def naming(place: tuple[str, ...], node: Any) -> Change:
    def change(content: dict[str, Any]) -> None:
        parts = content["hyper_parameters"]
        module = ScanModule(small_model(), Attention())
        parts.update({name: value for name, value in module.hparams.items() if name not in parts})
        for name in place[:-1]:
            parts = parts[name]
        parts[place[-1]] = node

    return change


@pytest.mark.parametrize("place", PLACES, ids=".".join)
@pytest.mark.parametrize("partial", [False, True])
def test_functions_and_attributes_are_never_called_or_imported(
    write: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: tuple[str, ...],
    partial: bool,
) -> None:
    trace = tmp_path / "trace"
    code = f"import pathlib\npathlib.Path({str(trace)!r}).touch()\nclass Evil: pass\n"
    for name in ("evil_package", "scan_lightning_evil"):
        (tmp_path / "path" / name).mkdir(parents=True)
        for file in ("__init__.py", "deeper.py"):
            (tmp_path / "path" / name / file).write_text(code)
    monkeypatch.syspath_prepend(tmp_path / "path")
    monkeypatch.setattr(os, "system", lambda command: trace.touch())
    for function in FUNCTIONS:
        node = {"_target_": function, "_args_": [f"touch {trace}"]}
        path = write(naming(place, {**node, "_partial_": True} if partial else node))
        with pytest.raises(ScanError) as caught:
            ScanModule.load_from_checkpoint(path)
        assert str(caught.value).startswith(f"{path}: {place[0]}: "), function
        if place[0] in ("model", "similarity"):
            with pytest.raises(ScanError):
                scan_lightning.load(path)
    assert not trace.exists()
    assert not {"evil_package", "scan_lightning_evil"} & set(sys.modules)


@pytest.mark.parametrize(
    ("place", "target", "message"),
    [
        (("similarity",), "scan_lightning.model.encoders.LinearEncoder", "which is no Similarity"),
        (("model",), "scan_lightning.similarity.attention.Attention", "which is no ScanModel"),
        (("model", "regions"), "scan_lightning.data.text.Vocabulary", "which is no Module"),
        (("model", "vocabulary"), "scan_lightning.similarity.attention.Attention", "which is no Vocabulary"),
        (("optimizer",), "torch.optim.lr_scheduler.StepLR", "which is no Optimizer"),
        (("optimizer",), "scan_lightning.training.loss.TripletLoss", "which is no Optimizer"),
        (("scheduler",), "torch.optim.Adam", "which is no LRScheduler"),
        (("loss",), "torch.optim.swa_utils.AveragedModel", "outside of scan_lightning"),
    ],
)
def test_a_class_of_another_kind_is_refused(
    write: Callable[..., Path], place: tuple[str, ...], target: str, message: str
) -> None:
    path = write(naming(place, {"_target_": target}))
    with pytest.raises(ScanError, match=message) as caught:
        ScanModule.load_from_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: {place[0]}: ")


def test_scoring_builds_nothing_of_the_training(write: Callable[..., Path]) -> None:
    """A run with an optimizer, loss and callbacks of its owner's is scored without trusting them."""
    for place in (("optimizer",), ("loss",), ("scheduler",)):
        path = write(naming(place, {"_target_": "owners_package.Thing", "_partial_": True}))
        assert scan_lightning.load(path).feature_dim == 6
        with pytest.raises(ScanError, match=r"owners_package.Thing.*trust=\[owners_package\]"):
            ScanModule.load_from_checkpoint(path)


HUGE = 10_000_000  # of a GRU: a petabyte


def sized(content: dict[str, Any]) -> None:
    content["hyper_parameters"]["model"]["embed_size"] = HUGE


def sized_loss(content: dict[str, Any]) -> None:
    node = {"_target_": "scan_lightning.model.encoders.LinearEncoder"}
    naming(("loss",), {**node, "feature_dim": HUGE, "embed_size": HUGE})(content)


def sized_and_expanded(content: dict[str, Any]) -> None:
    """Weights of the shapes that such a model has, in a file of some bytes: one number each."""
    sized(content)
    with torch.device("meta"):
        model = from_specification(content["hyper_parameters"]["model"], nn.Module)
    content["state_dict"] = {
        f"model.{name}": torch.zeros(1).expand(tensor.shape) for name, tensor in model.state_dict().items()
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (sized, rf"float32 \(8, 6\) instead of float32 \({HUGE}, 6\)"),
        (sized_and_expanded, rf"float32 without its numbers \({HUGE}, 6\) instead of float32 \({HUGE}, 6\)"),
        (sized_loss, "no fc.weight"),
    ],
)
def test_sizes_are_compared_before_anything_is_allocated(
    write: Callable[..., Path], change: Change, message: str
) -> None:
    path = write(change)
    with pytest.raises(ScanError, match=message):
        ScanModule.load_from_checkpoint(path)
    if change is not sized_loss:
        with pytest.raises(ScanError, match=message):
            scan_lightning.load(path)


def quantised(tensor: Tensor) -> Tensor:
    return torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8)


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda tensor: tensor.long(), r"int64 \(8, 6\)"),
        (lambda tensor: tensor.bool(), r"bool \(8, 6\)"),
        (lambda tensor: tensor.half(), r"float16 \(8, 6\)"),
        (lambda tensor: tensor.double(), r"float64 \(8, 6\)"),
        (lambda tensor: tensor.to(torch.complex64), r"complex64 \(8, 6\)"),
        (lambda tensor: tensor.to_sparse(), r"float32 torch.sparse_coo \(8, 6\)"),
        (lambda tensor: tensor.to_sparse_csr(), r"float32 torch.sparse_csr \(8, 6\)"),
        (quantised, r"qint8 \(8, 6\)"),
        (lambda tensor: tensor.to("meta"), r"float32 without its numbers \(8, 6\)"),
        (lambda tensor: torch.nested.nested_tensor([tensor[0], tensor[1, :3]]), "a nested tensor"),
        (lambda tensor: tensor.T, r"float32 \(6, 8\)"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_weights_of_another_type_are_one_message(
    write: Callable[..., Path], spoil: Callable[[Tensor], Tensor], found: str
) -> None:
    def change(content: dict[str, Any]) -> None:
        state = content["state_dict"]
        state["model.image_encoder.fc.weight"] = spoil(state["model.image_encoder.fc.weight"])

    path = write(change)
    message = rf"image_encoder.fc.weight {found} instead of float32 \(8, 6\)\. Take a checkpoint"
    for read in (scan_lightning.load, ScanModule.load_from_checkpoint):
        with pytest.raises(ScanError, match=message) as caught:
            read(path)
        assert str(caught.value).count(str(path)) == 1
