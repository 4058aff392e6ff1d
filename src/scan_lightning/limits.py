"""The range of a number in the schema, written beside its default."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Limits:
    """The values a number may take: within the bounds, or equal to `special`."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    special: int | None = None
    special_meaning: str = ""

    def allow(self, value: float) -> bool:
        """Whether `value` may be used; NaN never may."""
        if self.special is not None and value == self.special:
            return True
        return (
            value == value
            and (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
        )

    def __str__(self) -> str:
        bounds = {"at least": self.at_least, "above": self.above, "at most": self.at_most}
        text = ", ".join(f"{name} {bound:.12g}" for name, bound in bounds.items() if bound is not None)
        return text if self.special is None else f"{text}, or {self.special}: {self.special_meaning}"


def limited(
    default: Number,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    special: int | None = None,
    special_meaning: str = "",
) -> Number:
    """A dataclass field whose values have `Limits`."""
    limits = Limits(at_least, above, at_most, special, special_meaning)
    return field(default=default, metadata={"limits": limits})
