"""Amounts in words."""

from __future__ import annotations


def size_text(count: float) -> str:
    """A number of bytes in the unit that fits, 1 kB being 1,000 bytes.

    >>> size_text(12), size_text(3_775_648), size_text(8_550_000_000)
    ('12 bytes', '3.78 MB', '8.55 GB')
    """
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:,.2f} {unit}"
    return f"{count:,.0f} bytes"
