"""Figures as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from scan_lightning.files import atomic_file, writing


def save_figure(figure: Figure, stem: Path, *, kinds: Sequence[str] = ("pdf", "png")) -> list[Path]:
    """Write a figure as `STEM.pdf` (vectors) and `STEM.png` (200 dots an inch), each complete or not at all.

    Args:
        figure: what is written.
        stem: folder and name without a suffix.
        kinds: the suffixes.

    Returns:
        The files.

    Raises:
        ScanError: a file cannot be written.
    """
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in kinds]
    for kind, path in zip(kinds, paths, strict=True):
        # No date inside: the same figure is the same file.
        metadata = {"CreationDate": None} if kind == "pdf" else {}
        # Type 42 fonts: text stays text.
        with atomic_file(path) as partial, writing(path), matplotlib.rc_context({"pdf.fonttype": 42}):
            figure.savefig(partial, format=kind, dpi=200, metadata=metadata)
    return paths
