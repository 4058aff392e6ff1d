"""Runs console commands in slots until none is left. One that fails is listed; the others go on."""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from scan_lightning.reproduce.curve import validations
from scan_lightning.reproduce.place import Place
from scan_lightning.reproduce.slots import Slot
from scan_lightning.reproduce.steps import COMMAND, Work

POLL_SECONDS = 0.5
STOP_SECONDS = 120  # a training run saves before it ends; after this it is killed
SHOWN_LINES = 3


@dataclass(frozen=True)
class Failure:
    """A run that did not come to its end.

    Args:
        status: of the command; 2 is a user's fault.
        reason: the last lines it printed.
    """

    name: str
    seed: int
    step: str
    status: int
    reason: str
    log: Path | None = None


class Active:
    """One run in its slot: the steps left and the command that is running."""

    def __init__(self, work: Work, slot: Slot, place: Place) -> None:
        self.work, self.slot = work, slot
        self.path = place.log(work.name, work.seed)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.log: BinaryIO = self.path.open("ab")
        self.metrics = place.run(work.name, work.seed) / "metrics.csv"
        self.left = list(work.steps)
        self.process: subprocess.Popen[bytes] | None = None
        self.started = time.monotonic()

    def lock(self) -> bool:
        """Claim the run; False when another reproduction is on it. The command's output keeps the claim."""
        try:
            fcntl.flock(self.log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def start_next(self) -> None:
        """Start the next step."""
        self.step = self.left.pop(0)
        self.log.write(f"\n$ scan-lightning {' '.join(self.step.words)}\n".encode())
        self.log.flush()
        self.offset = self.path.stat().st_size
        self.shown = len(validations(self.metrics))
        self.say(f"{self.step.what} ({self.slot.name})")
        # In a session of its own: Ctrl-C reaches this process alone, which then stops each command once.
        self.process = subprocess.Popen(
            [*COMMAND, *self.step.words],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **self.slot.environment},
            start_new_session=True,
        )

    def news(self) -> None:
        """Say which validations training has been through since the last look."""
        if self.step.what != "train":
            return
        found = validations(self.metrics)
        for row in found[self.shown :]:
            self.say(f"epoch {row.epoch}, validation rsum {row.rsum:.1f}")
        self.shown = len(found)

    def say(self, text: str) -> None:
        """One line on the terminal."""
        minutes = (time.monotonic() - self.started) / 60
        print(f"{self.work.name} seed {self.work.seed}: {text} [{minutes:.1f} min]", flush=True)

    def reason(self) -> str:
        """The last lines that the running step printed."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
        return "\n".join(lines[-SHOWN_LINES:]) or "it printed nothing"

    def stop(self) -> None:
        """End the command, leaving it time to save."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def wait(self) -> None:
        """Wait for a stopped command."""
        if self.process is None:
            return
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def run_all(
    works: Sequence[Work], slots: Sequence[Slot], place: Place, done: Callable[[Work], None]
) -> list[Failure]:
    """Run everything; returns when nothing runs any more, also when interrupted.

    Args:
        works: what is to be done; one without steps is done at once.
        slots: at least one.
        place: where runs and logs are.
        done: called after each run that came to its end.
    """
    waiting, free, failures = list(works), list(slots), list[Failure]()
    active: list[Active] = []
    try:
        while waiting or active:
            while waiting and free:
                _begin(waiting.pop(0), free, active, failures, place, done)
            time.sleep(POLL_SECONDS if active else 0)
            for run in list(active):
                assert run.process is not None
                status = run.process.poll()
                run.news()
                if status is None:
                    continue
                if status == 0 and run.left:
                    run.start_next()
                    continue
                active.remove(run)
                free.append(run.slot)
                run.log.close()
                if status == 0:
                    run.say("done")
                    done(run.work)
                else:
                    run.say(f"{run.step.what} failed with status {status}, the others go on")
                    failures.append(_failure(run, status))
    finally:
        for run in active:
            run.stop()
        for run in active:
            run.wait()
    return failures


def _begin(
    work: Work,
    free: list[Slot],
    active: list[Active],
    failures: list[Failure],
    place: Place,
    done: Callable[[Work], None],
) -> None:
    if not work.steps:
        print(f"{work.name} seed {work.seed}: finished before", flush=True)
        done(work)
        return
    run = Active(work, free[0], place)
    if not run.lock():
        run.log.close()
        reason = "another reproduction is at work on it"
        failures.append(Failure(work.name, work.seed, "start", 2, reason, run.path))
        return
    del free[0]
    run.start_next()
    active.append(run)


def _failure(run: Active, status: int) -> Failure:
    return Failure(run.work.name, run.work.seed, run.step.what, status, run.reason(), run.path)
