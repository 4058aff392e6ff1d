"""run.json: what a run was, on which machine, of which code, how long it took and what it used."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from scan_lightning.config.run_hash import config_hash
from scan_lightning.files import write_json
from scan_lightning.training.callbacks.speed import peak_memory

PACKAGES = ("scan-lightning", "torch", "lightning", "hydra-core", "h5py", "numpy", "spacy")


class RunRecord:
    """Written when a run starts and again when it ends, however it ends.

    Args:
        command: `train`, `evaluate` or `ensemble`.
        config: of the run, plain values.
        run_dir: where run.json goes.
        earlier_seconds: wall time of the parts of the run before it was resumed.
        values: what else it says.
    """

    def __init__(
        self,
        command: str,
        config: Mapping[str, Any],
        run_dir: Path,
        *,
        earlier_seconds: float = 0.0,
        **values: Any,
    ) -> None:
        self._path = run_dir / "run.json"
        self._start, self._earlier = time.monotonic(), earlier_seconds
        self.values: dict[str, Any] = {
            "command": command,
            "status": "running",
            "config_hash": config_hash(config),
            **code_version(),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "hardware": hardware(),
            "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
            **values,
        }

    def seconds(self) -> float:
        """Return how long the run has taken so far, its earlier parts too."""
        return self._earlier + time.monotonic() - self._start

    def begin(self) -> None:
        """Write the record of a run that begins."""
        write_json(self._path, self.values)

    def has_begun(self) -> bool:
        """Whether `begin` was called, here or in a process that was started from this one."""
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return bool(found == self.values)

    def end(self, status: str, **values: Any) -> None:
        """Write the record of a run that ended as `done`, `interrupted` or `failed`."""
        self.values.update(values)
        self.values["status"] = status
        self.values["wall_seconds"] = round(self.seconds(), 1)
        self.values["peak_memory_bytes"] = peak_memories()
        write_json(self._path, self.values)


def code_version() -> dict[str, Any]:
    """Return the commit of the code and whether files differ from it; both None outside a checkout."""
    folder = Path(__file__).parent
    commit = _git(folder, "rev-parse", "HEAD")
    # Installed into some other project's checkout, git would answer with that project's commit.
    if commit is None or _git(folder, "ls-files", "--error-unmatch", Path(__file__).name) is None:
        return {"commit": None, "dirty": None}
    code = (":(top)", ":(top,exclude)experiments")  # the records of finished runs are no code
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", *code)
    return {"commit": commit, "dirty": bool(changes)}


def hardware() -> str:
    """Return the processor and its cores, the memory, and the GPUs, in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    parts = [f"{_processor()}, {len(os.sched_getaffinity(0))} cores", f"{memory:.0f} GiB memory"]
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    parts += [f"{names.count(name)} x {name}" for name in dict.fromkeys(names)]
    return ", ".join(parts)


def peak_memories() -> dict[str, int]:
    """Return the largest resident size of this process, and what torch allocated at most on each GPU."""
    peak = {"process": peak_memory(torch.device("cpu"))}
    for index in range(torch.cuda.device_count()):
        peak[f"cuda:{index}"] = peak_memory(torch.device("cuda", index))
    return peak


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
