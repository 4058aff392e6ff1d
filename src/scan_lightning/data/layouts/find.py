"""The files of a layout, by the pattern of their names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from scan_lightning.errors import ScanError


def find_files(root: Path, patterns: Sequence[str]) -> list[Path]:
    """The files in a folder whose names fit one of the patterns, in order; or the one file that is given.

    Args:
        root: A folder, or a file.
        patterns: As `Path.glob` takes them.

    Raises:
        ScanError: there is no such folder, or no such file in it.
        OSError: the folder cannot be listed.
    """
    if root.is_file():
        return [root]
    names = " or ".join(pattern.removeprefix("**/") for pattern in patterns)
    if not root.is_dir():
        raise ScanError(f"{root}: there is no such folder. Give the one with {names} as --root.")
    with os.scandir(root):  # a folder that may not be listed would look like an empty one
        pass
    files = sorted({path for pattern in patterns for path in root.glob(pattern)})
    if not files:
        raise ScanError(f"{root}: holds no {names}. Give the folder with them as --root.")
    return files
