"""Amounts in words."""

import pytest

from scan_lightning.units import size_text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.00 kB"),
        (86_550, "86.55 kB"),
        (3_775_648, "3.78 MB"),
        (33.41e9, "33.41 GB"),
        (2e15, "2,000.00 TB"),
    ],
)
def test_the_unit_fits_the_amount(count: float, text: str) -> None:
    assert size_text(count) == text
