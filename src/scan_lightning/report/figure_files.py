"""Figures as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from scan_lightning.files import atomic_file, writing


def save_figure(figure: Figure, stem: Path, *, kinds: Sequence[str] = ("pdf", "png")) -> list[Path]:
    """Writes a figure as `STEM.pdf` (vectors) and `STEM.png` (200 dots an inch).

    Args:
        figure: What is written.
        stem: Folder and name without a suffix.
        kinds: The suffixes.

    Returns:
        The files.

    Raises:
        ScanError: a file cannot be written.
    """
    paths = []
    for kind in kinds:
        path = stem.with_name(f"{stem.name}.{kind}")
        # No date inside: the same figure is the same file.
        metadata = {"CreationDate": None} if kind == "pdf" else {}
        with atomic_file(path) as partial, writing(path), matplotlib.rc_context({"pdf.fonttype": 42}):
            figure.savefig(partial, format=kind, dpi=200, metadata=metadata)
        paths.append(path)
    return paths
