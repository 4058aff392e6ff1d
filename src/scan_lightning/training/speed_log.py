"""Pairs a second and memory in use, measured between two looks at the device."""

from __future__ import annotations

import time

import torch

from scan_lightning.training.record import peak_memory

GIB = 2**30


class SpeedLog:
    """Measures the time that steps take, loading included, validations and saves not.

    On a GPU a look waits for it, so the rate is that of the steps since the last look, which have all ended.
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self._start: float | None = None

    def begin_step(self) -> None:
        """Start the clock, where it stands still."""
        if self._start is None:
            self._start = time.monotonic()

    def pause(self) -> None:
        """Stop the clock."""
        if self._start is not None:
            self._seconds += time.monotonic() - self._start
            self._start = None

    def take(self, pairs: int, device: torch.device) -> dict[str, float]:
        """Return the figures since the last time, after the device has caught up.

        Args:
            pairs: those of the steps since then, in all processes.
            device: of this process.

        Memory is the most used so far: what torch allocated on the GPU, or the process's size on the CPU.
        """
        running = self._start is not None
        self.pause()
        seconds, self._seconds = self._seconds, 0.0
        if running:
            self.begin_step()
        peak = peak_memory()
        used = peak.get(f"cuda:{device.index}", peak["process"])
        return {
            "train/pairs_per_second": round(pairs / max(seconds, 1e-9), 1),
            "train/memory_gib": round(used / GIB, 3),
        }
