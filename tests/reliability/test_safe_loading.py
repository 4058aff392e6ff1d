"""A file from a stranger never runs code, whatever command it is given to."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from runs import checkpoint, folder
from small import DIM, small_records

from scan_lightning import cli, load
from scan_lightning.config.schema import TrainConfig
from scan_lightning.errors import ScanError


class Attack:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "the code ran"


def zipped(path: Path, run: TrainConfig, trace: Path) -> None:
    """A real checkpoint with the attack beside its weights."""
    torch.save({**checkpoint(run), "hyper_parameters": Attack(trace)}, path)


def old_format(path: Path, run: TrainConfig, trace: Path) -> None:
    torch.save(
        {**checkpoint(run), "hyper_parameters": Attack(trace)}, path, _use_new_zipfile_serialization=False
    )


def bare_pickle(path: Path, run: TrainConfig, trace: Path) -> None:
    path.write_bytes(pickle.dumps({"scan_lightning": Attack(trace)}, protocol=2))


MAKERS = {"zipped": zipped, "old format": old_format, "bare pickle": bare_pickle}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.fault(
    "a checkpoint with code in it, given to `load`, `train resume=`, `evaluate`, `ensemble`, `attention` or "
    "`import-checkpoint`",
    "refused in one message, status 2; the code is not run",
)
def test_a_checkpoint_never_runs_code(
    unbroken: TrainConfig, tmp_path: Path, trace: Path, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    path = tmp_path / "evil.ckpt"
    MAKERS[kind](path, unbroken, trace)
    with pytest.raises(ScanError):
        load(path)
    vocabulary = tmp_path / "vocab.json"
    vocabulary.write_text('{"word2idx": {}, "idx2word": {}, "idx": 0}')
    data, out = f"data.path={unbroken.data['path']}", str(tmp_path / "out")
    good = str(folder(unbroken) / "checkpoints" / "best.ckpt")
    commands = [
        ["train", data, f"resume={path}", f"run_dir={out}"],
        ["evaluate", data, f"checkpoint={path}", f"run_dir={out}"],
        ["ensemble", data, f"checkpoints=[{good},{path}]", f"run_dir={out}"],
        [
            "attention",
            str(path),
            "--data",
            unbroken.data["path"],
            "--image",
            "val-0",
            "--sentence",
            "bado",
            "--out",
            out,
        ],
        ["import-checkpoint", str(path), "--vocab", str(vocabulary), "--out", str(tmp_path / "new.ckpt")],
    ]
    for command in commands:
        assert cli.main(command) == 2, command
        errors = capfd.readouterr().err
        assert "Traceback" not in errors, command
        assert "evil.ckpt" in errors, command
    assert not trace.exists()
    torch.load(path, weights_only=False) if kind != "bare pickle" else pickle.loads(path.read_bytes())
    assert trace.exists()  # so the attack works where code is run


@pytest.mark.parametrize("kind", ["npy", "npz"])
@pytest.mark.fault(
    "an `.npy` or `.npz` with code in it, given to `data build`",
    "refused in one message that names the file, status 2; the code is not run and no store is left",
)
def test_arrays_never_run_code(
    tmp_path: Path, trace: Path, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    root = tmp_path / "data"
    root.mkdir()
    evil = np.array([Attack(trace)], dtype=object)
    if kind == "npy":
        layout, file = "scan-release", root / "train_ims.npy"
        np.save(file, evil)
        (root / "train_caps.txt").write_text("a\nb\nc\nd\ne\n")
    else:
        layout, file = "npz-folder", root / "one.npz"
        features = small_records()[0].features
        assert features.shape[1] == DIM
        np.savez(file, features=evil, boxes=np.zeros((1, 4), np.float32))
        (root / "captions.json").write_text("{}")
    words = ["--layout", layout, "--root", str(root), "--out", str(tmp_path / "s.h5")]
    assert cli.main(["data", "build", *words]) == 2
    errors = capfd.readouterr().err
    assert "Traceback" not in errors
    assert str(root) in errors
    assert not trace.exists()
    assert not (tmp_path / "s.h5").exists()
    loaded = np.load(file, allow_pickle=True)
    _ = loaded["features"] if kind == "npz" else loaded
    assert trace.exists()
