"""Objects as plain values and back, and arguments checked by their hints."""

from __future__ import annotations

import functools
import sys
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
