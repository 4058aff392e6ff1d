"""The demo: what it must reach, what it leaves, and how it answers to trouble."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scan_lightning.cli import main
from scan_lightning.commands.demo import _prepare
from scan_lightning.data.store import Store


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_demo_end_to_end_and_again_into_the_same_folder(tmp_path: Path, capsys) -> None:
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    results = json.loads((out / "results.json").read_text())
    assert (results["split"], results["images"], results["captions"]) == ("test", 200, 1000)
    assert results["t2i"]["r1"] >= 30
    assert set(results["i2t"]) >= {"r1", "r5", "r10", "medr", "meanr"}
    assert results["rsum"] == pytest.approx(
        sum(results[side][name] for side in ("i2t", "t2i") for name in ("r1", "r5", "r10"))
    )
    assert results["chance"]["t2i"]["r1"] == 0.5
    assert results["grounding"]["accuracy"] >= 2 * results["grounding"]["chance"]
    assert 10 < results["grounding"]["chance"] < 25
    for name in (f"{results['t2i']['r1']:.1f}", f"{results['grounding']['accuracy']:.1f}", "try next:"):
        assert name in printed.out
    pictures = [*out.glob("attention_*.png"), *out.glob("retrieval_*.png"), out / "training_curve.png"]
    assert len(list(out.glob("attention_*.png"))) >= 6
    assert len(list(out.glob("retrieval_*.png"))) == 3
    for path in pictures:
        with Image.open(path) as picture:
            assert np.asarray(picture.convert("L")).std() > 15
    assert Store(out / "scenes.h5").splits == {"train": 1500, "val": 200, "test": 200}

    command = printed.out.strip().splitlines()[-1].removeprefix("try next: scan-lightning ")
    assert main(shlex.split(command)) == 0

    # Again, shorter: the folder of an earlier demo is replaced.
    (out / "attention_99.png").write_bytes(b"old")
    _prepare(out)
    assert [path.name for path in out.iterdir()] == [".scan-lightning-demo"]


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, capsys) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    assert main(["demo", "--out", str(tmp_path)]) == 2
    assert "not the folder of an earlier demo" in capsys.readouterr().err
    assert (tmp_path / "thesis.tex").read_text() == "precious"
    assert len(list(tmp_path.iterdir())) == 1


def test_an_unwritable_folder_is_a_users_fault(tmp_path: Path, capsys) -> None:
    (tmp_path / "file").write_text("in the way")
    assert main(["demo", "--out", str(tmp_path / "file" / "demo")]) == 2
    error = capsys.readouterr().err
    assert "cannot be written" in error
    assert "Traceback" not in error


def test_interrupted_while_drawing_leaves_no_half_data(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    # Started as a shell starts a job of its own: Ctrl-C goes to every process of the group.
    process = subprocess.Popen(
        [sys.executable, "-m", "scan_lightning", "demo", "--out", str(out)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not any(out.glob(".images.partial/*.png")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130, error
    assert "Traceback" not in error
    assert [path.name for path in out.iterdir()] == [".scan-lightning-demo"]
