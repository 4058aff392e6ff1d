"""Try a damaged file in another process first: HDF5 can hang or crash where a heap of strings is damaged."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PATIENCE = 60.0  # seconds for the small datasets of a large store; HDF5 needs a few

# Ordinary errors are no matter here: the check meets them again and reports them.
_CHILD = """
import sys
import h5py
file = h5py.File(sys.argv[1], "r")
for name in sys.argv[2:]:
    try:
        file[name][:]
    except Exception:
        pass
    print(name, flush=True)
"""


def probe(path: Path, names: Sequence[str], patience: float = PATIENCE) -> dict[str, str]:
    """What HDF5 does with each dataset that it hangs or crashes on; mostly there is none.

    Args:
        path: a store whose seal is broken.
        names: datasets, as in `caption/text`.
        patience: seconds until a read counts as hanging.
    """
    harmful: dict[str, str] = {}
    left = list(names)
    while left:
        done, harm = _try(path, left, patience)
        left = left[done:]
        if not harm or not left:
            break
        harmful[left.pop(0)] = harm
    return harmful


def _try(path: Path, names: Sequence[str], patience: float) -> tuple[int, str]:
    """Read datasets in a child; how many came through, and what stopped the next one."""
    command = [sys.executable, "-c", _CHILD, str(path), *names]
    try:
        child = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=patience)
        output, harm = child.stdout, "crashes on it" if child.returncode else ""
    except subprocess.TimeoutExpired as error:
        output, harm = error.stdout or b"", f"hangs on it (stopped after {patience:.0f} s)"
    return len(output.splitlines()), harm
