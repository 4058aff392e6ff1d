"""Objects as plain values and back, and what a stranger's checkpoint may name: never a function, no code."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import torch
from torch import Tensor, nn

import scan_lightning
from checkpoint.conftest import small_model
from scan_lightning.errors import ScanError
from scan_lightning.model.encoders import LinearEncoder
from scan_lightning.options import Range
from scan_lightning.similarity import Attention, Similarity, SumMax
from scan_lightning.specification import Configurable, from_specification, specification
from scan_lightning.training.module import ScanModule

HERE = __name__
Change = Callable[[dict[str, Any]], None]


class Mixture(Similarity):
    """A sum of others, with a counter for its buffer."""

    def __init__(
        self, parts: list[Similarity], named: dict[str, Similarity] | None = None, scales: Any = (1.0, 2.0)
    ) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.named = nn.ModuleDict(named or {})
        self.scales = scales
        self.register_buffer("seen", torch.zeros(3, dtype=torch.int64))

    def forward(self, scores: Tensor, regions: Any, words: Any) -> Tensor:
        return sum(part(scores, regions, words) for part in self.parts)  # type: ignore[return-value]


class Hinted(Configurable):
    """One argument of each kind of hint."""

    def __init__(
        self,
        rate: Annotated[float, Range(above=0)] = 1.0,
        count: int | None = None,
        flag: bool = False,
        side: Literal["left", "right"] = "left",
        names: list[str] | None = None,
        pair: tuple[int, str] = (1, "a"),
        inner: Similarity | None = None,
        **more: Any,
    ) -> None:
        self.pair, self.more = pair, more


def through_a_file(value: Any, path: Path) -> Any:
    torch.save(value, path)
    return torch.load(path, weights_only=True)


def test_lists_and_dicts_of_objects_come_back(tmp_path: Path) -> None:
    mixture = Mixture([Attention("i2t", smoothing=4), SumMax("t2i")], {"other": SumMax("i2t", "lse", 3.0)})
    node = through_a_file(specification(mixture), tmp_path / "node")
    with pytest.raises(ScanError, match=rf"'{HERE}.Mixture', which is code outside of scan_lightning"):
        from_specification(node, Similarity)
    again = from_specification(node, Similarity, trust=(HERE,))
    assert list(again.parts) == [Attention("i2t", smoothing=4.0), SumMax("t2i")]
    assert again.named["other"] == SumMax("i2t", "lse", 3.0)
    assert again.scales == (1.0, 2.0)
    assert again == mixture
    assert specification(again) == node


def test_partials_with_groups_come_back(tmp_path: Path) -> None:
    groups = {"text_encoder": {"lr": 1e-5}, "similarity": {"weight_decay": 0.0}}
    optimizer = functools.partial(torch.optim.AdamW, lr=1e-3, groups=groups)
    scheduler = functools.partial(torch.optim.lr_scheduler.StepLR, step_size=2, interval="step", frequency=3)
    module = ScanModule(small_model(), Attention(), optimizer, scheduler)
    torch.save({"state_dict": module.state_dict(), "hyper_parameters": dict(module.hparams)}, tmp_path / "c")
    again = ScanModule.load_from_checkpoint(tmp_path / "c")
    assert isinstance(again.optimizer, functools.partial)
    assert (again.optimizer.func, again.optimizer.keywords) == (torch.optim.AdamW, optimizer.keywords)
    assert isinstance(again.scheduler, functools.partial)
    assert (again.scheduler.func, again.scheduler.keywords) == (scheduler.func, scheduler.keywords)
    again.lr = 0.5
    assert again.hparams["optimizer"]["lr"] == 0.5
    assert again.hparams["optimizer"]["groups"] == groups


def a_function(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"optimizer": lambda parameters: torch.optim.Adam(parameters)}, "optimizer"),
        ({"optimizer": a_function}, "optimizer"),
        ({"optimizer": functools.partial(a_function, lr=1)}, "optimizer"),
        ({"optimizer": functools.partial(torch.optim.Adam, lr=torch.tensor(1.0))}, "optimizer.lr"),
        (
            {"scheduler": functools.partial(torch.optim.lr_scheduler.LambdaLR, lr_lambda=lambda step: 1)},
            "lr_l",
        ),
        ({"loss": nn.L1Loss()}, "loss"),
        ({"similarity": Mixture([], scales=lambda: 1)}, "similarity.scales"),
        ({"similarity": Mixture([], scales={("a", "b"): 1})}, "similarity.scales"),
    ],
)
def test_what_a_checkpoint_could_not_hold_is_refused_when_the_module_is_made(
    arguments: dict[str, Any], name: str
) -> None:
    with pytest.raises(ScanError, match=rf"{name}.* cannot be kept in a checkpoint"):
        ScanModule(small_model(), **arguments)


def test_an_encoder_made_by_a_lambda_is_refused() -> None:
    model = scan_lightning.ScanModel(6, embed_size=4, regions=lambda: LinearEncoder(6, 4), words=nn.Identity)
    with pytest.raises(ScanError, match=r"model.regions: <function .*lambda"):
        ScanModule(model)


def test_classes_of_a_script_are_built_only_when_it_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = type("Mine", (SumMax,), {"__module__": "__main__"})
    monkeypatch.setattr(sys.modules["__main__"], "Mine", mine, raising=False)
    node = specification(mine("t2i"))
    assert node["_target_"] == "__main__.Mine"
    with pytest.raises(ScanError, match=r"trust=\[__main__\]"):
        from_specification(node, Similarity)
    with pytest.raises(ScanError, match="outside of scan_lightning"):
        from_specification(node, Similarity, trust=(HERE,))
    assert from_specification(node, Similarity, trust=("__main__",)) == mine("t2i")


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


def test_an_integer_buffer_keeps_its_type(tmp_path: Path) -> None:
    module = ScanModule(small_model(), Mixture([SumMax("t2i")]))
    module.similarity.seen += 5
    state = module.state_dict()
    for seen, fits in ((state["similarity.seen"], True), (torch.full((3,), 5.0), False)):
        content = {
            "state_dict": {**state, "similarity.seen": seen},
            "hyper_parameters": dict(module.hparams),
        }
        torch.save(content, tmp_path / "c.ckpt")
        if fits:
            again = ScanModule.load_from_checkpoint(tmp_path / "c.ckpt", trust=(HERE,))
            assert again.similarity.seen.tolist() == [5, 5, 5]
            assert scan_lightning.load(tmp_path / "c.ckpt", trust=[HERE]).rule == module.similarity
        else:
            with pytest.raises(ScanError, match=r"similarity.seen float32 \(3,\) instead of int64 \(3,\)"):
                ScanModule.load_from_checkpoint(tmp_path / "c.ckpt", trust=(HERE,))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rate": 0}, "rate must be a number, above 0, not 0"),
        ({"rate": float("nan")}, "rate must be a number"),
        ({"rate": "1"}, "rate must be a number"),
        ({"rate": True}, "rate must be a number"),
        ({"count": 1.5}, "count must be an integer or null, not 1.5"),
        ({"count": True}, "count must be an integer or null, not True"),
        ({"flag": 1}, "flag must be true or false, not 1"),
        ({"side": "up"}, "side must be one of left, right, not 'up'"),
        ({"names": "abc"}, "names must be a list of strings"),
        ({"names": [["a"]]}, "names must be a list of strings"),
        ({"pair": [1]}, "pair must be"),
        ({"pair": [1, None]}, "pair must be"),
        ({"inner": "t2i"}, "inner must be"),
        ({"inner": {"direction": "t2i"}}, "inner must be"),
    ],
)
def test_arguments_are_checked_by_their_hints(arguments: dict[str, Any], message: str) -> None:
    """In Python and in a checkpoint alike."""
    with pytest.raises(ValueError, match=message):
        Hinted(**arguments)
    node = {"_target_": f"{HERE}.Hinted", **arguments}
    with pytest.raises(ScanError, match=message):
        from_specification(node, Configurable, trust=(HERE,))


def test_values_become_what_the_hints_say() -> None:
    made = Hinted(2, names=[1, "b"], anything={"deep": [1, 2]})  # type: ignore[list-item]
    node = specification(made)
    assert type(node["rate"]) is float
    assert node["names"] == ["1", "b"]
    again = from_specification({**node, "pair": [2, "b"]}, Configurable, trust=(HERE,))
    assert (again.pair, again.more) == ((2, "b"), {"anything": {"deep": [1, 2]}})
    with pytest.raises(ScanError, match="takes no argument 'hot'"):
        from_specification({**specification(SumMax("t2i")), "hot": 1}, Similarity)
