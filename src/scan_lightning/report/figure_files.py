"""Figures as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure


def save_figure(figure: Figure, stem: Path, *, kinds: Sequence[str] = ("pdf", "png")) -> list[Path]:
    """Writes a figure as `STEM.pdf` (vectors) and `STEM.png` (200 dots an inch), each whole or not at all.

    Args:
        figure: What is written.
        stem: Folder and name without a suffix.
        kinds: The suffixes.

    Returns:
        The files.
    """
    paths = []
    for kind in kinds:
        path = stem.with_name(f"{stem.name}.{kind}")
        unfinished = path.with_name(f".{path.name}.partial")
        # No date inside: the same figure is the same file.
        metadata = {"CreationDate": None} if kind == "pdf" else {}
        try:
            with matplotlib.rc_context({"pdf.fonttype": 42}):
                figure.savefig(unfinished, format=kind, dpi=200, metadata=metadata)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        paths.append(path)
    return paths
