"""The rule: what it accepts and what it refuses."""

import dataclasses
import enum
import math

import pytest

from scan_lightning.similarity import Attention, SumMax


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


def test_frozen_hashable_and_equal_by_value():
    assert Attention("t2i", smoothing=9) == Attention("t2i", smoothing=9.0)
    assert len({SumMax("t2i"), SumMax("t2i"), SumMax("i2t")}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        Attention("t2i").smoothing = 4.0  # type: ignore[misc]


def test_takes_an_enums_member_and_keeps_plain_text():
    kind = enum.StrEnum("kind", ["t2i"])
    assert type(Attention(kind.t2i).direction) is str
