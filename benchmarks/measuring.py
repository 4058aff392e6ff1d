"""Seconds and peak memory of several competitors, measured in turn so that a busy machine slows all alike."""

import ctypes
import platform
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch


@dataclass
class Measured:
    """One competitor: wall and processor seconds of every round, and memory above the start of one call."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    peak_bytes: int | None = None

    def as_dict(self) -> dict[str, object]:
        """The best round of each clock, as plain types."""
        return {
            "wall_seconds": min(self.wall),
            "cpu_seconds": min(self.cpu),
            "peak_bytes": self.peak_bytes,
            "rounds": len(self.wall),
        }


def compare(
    competitors: dict[str, Callable[[], object]],
    device: torch.device,
    rounds: int,
    patience: float,
    warm: bool = False,
) -> dict[str, Measured]:
    """Measure competitors in turn, round after round, each round in another order.

    Args:
        competitors: name -> one complete call.
        device: where they run; waited for on a GPU.
        rounds: how often each is timed, after one call that measures memory and warms up.
        patience: seconds after which no further round is begun; all have the same number of rounds.
        warm: let each timed call follow one of the same that is not timed, as step follows step in a
            training; otherwise it pays for the memory that the competitor before it gave back to the system.

    Returns:
        name -> what was measured.
    """
    results = {name: Measured(peak_bytes=peak_memory(call, device)) for name, call in competitors.items()}
    begin = time.perf_counter()
    for done in range(rounds):
        if done and time.perf_counter() - begin > patience:
            break
        order = random.Random(done).sample(list(competitors), len(competitors))  # none always follows another
        for name in order:
            call = competitors[name]
            if warm:
                call()
                synchronize(device)
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            synchronize(device)
            results[name].wall.append(time.perf_counter() - wall)
            results[name].cpu.append(time.process_time() - cpu)
    return results


def ratio(slow: Measured, fast: Measured, clock: str = "wall") -> float:
    """Median over the rounds of slow / fast, each pair measured one after the other."""
    pairs = zip(getattr(slow, clock), getattr(fast, clock), strict=True)
    return statistics.median(a / b for a, b in pairs)


def peak_memory(call: Callable[[], object], device: torch.device) -> int | None:
    """Bytes that one call needs above what was in use before it; None where that cannot be read."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return int(torch.cuda.max_memory_allocated() - before)
    reset = Path("/proc/self/clear_refs")
    if not reset.exists():
        call()
        return None
    ctypes.CDLL(None).malloc_trim(0)  # hand freed memory back, or it would hide the next call's needs
    reset.write_text("5")  # the kernel forgets the high-water mark
    before = _status("VmRSS")
    call()
    return max(_status("VmHWM") - before, 0)


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def machine(device: torch.device) -> str:
    """A plain description: how many cores of which make, or which GPU."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name())
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    return f"{torch.get_num_threads()} CPU core(s) used, {model}"


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {key} in /proc/self/status")
