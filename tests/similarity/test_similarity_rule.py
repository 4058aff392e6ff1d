"""The rule: what it accepts and what it refuses."""

import copy
import enum
import math
import pickle

import pytest
import torch

from scan_lightning.similarity import Attention, Similarity, SumMax


def test_defaults_are_the_released_recipe():
    rule = Attention(direction="t2i")
    assert (rule.smoothing, rule.raw_norm, rule.aggregation, rule.lse_scale) == (
        9,
        "clipped_l2norm",
        "lse",
        6,
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("direction", "i2i"),
        ("direction", None),
        ("raw_norm", "l3norm"),
        ("aggregation", "median"),
        ("smoothing", 0),
        ("smoothing", -1.0),
        ("smoothing", math.nan),
        ("smoothing", math.inf),
        ("smoothing", True),
        ("smoothing", "9"),
        ("lse_scale", 0.0),
    ],
)
def test_refuses_and_names_the_field(field, value):
    with pytest.raises(ValueError, match=field) as caught:
        Attention(**{"direction": "t2i", field: value})
    assert repr(value) in str(caught.value)


def test_summax_refuses_another_direction():
    with pytest.raises(ValueError, match="direction must be one of t2i, i2t, not 'both'"):
        SumMax("both")


def test_equal_and_hashed_by_class_and_arguments():
    assert Attention("t2i", smoothing=9) == Attention("t2i", smoothing=9.0)
    assert Attention("t2i") != Attention("i2t")
    assert len({SumMax("t2i"), SumMax("t2i"), SumMax("i2t")}) == 2

    class Mine(Attention):
        """Another class, so another similarity."""

    assert Mine() != Attention()


def test_equal_similarities_keep_their_own_parameters():
    class Scaled(Similarity):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(()))

    both = torch.nn.ModuleList([Scaled(), Scaled()])
    assert both[0] == both[1]
    assert len(list(both.parameters())) == 2


def test_copies_and_pickles():
    rule = SumMax("i2t", "lse", 3.0)
    for copied in (copy.deepcopy(rule), pickle.loads(pickle.dumps(rule))):
        assert copied == rule
        assert copied.lse_scale == 3.0


def test_takes_the_member_of_an_enum():
    kind = enum.StrEnum("kind", ["t2i"])
    assert Attention(kind.t2i) == Attention("t2i")
