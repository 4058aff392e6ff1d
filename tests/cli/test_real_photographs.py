"""The main job on real photographs: 200 of Flickr8K, from the released files to recalls on test."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import scan_lightning

pytestmark = [pytest.mark.slow, pytest.mark.real_data, pytest.mark.timeout(1800)]

IMAGES = 200
SETTINGS = ["model.embed_size=64", "model.word_size=64", "data.batch_size=32", "data.word_threshold=2"]
SETTINGS += ["loss.negatives=all", "optimizer.lr=2e-3", "trainer=cpu", "trainer.max_epochs=4"]


def scan(folder: Path, *words: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "scan_lightning", *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
    )


def test_learns_from_200_photographs(real_data_dir: Path, tmp_path: Path) -> None:
    command = [sys.executable, real_data_dir / "unpack.py", tmp_path / "release"]
    subprocess.run([*command, "--images", str(IMAGES), "--dims", "64"], check=True)
    scan(tmp_path, "data", "build", "--layout", "scan-release", "--root", "release", "--out", "photos.h5")
    scan(tmp_path, "train", "data.path=photos.h5", "run_dir=run", *SETTINGS)
    best = "checkpoint=run/checkpoints/best.ckpt"
    scan(tmp_path, "evaluate", best, "data.path=photos.h5", "split=test", "run_dir=test")
    results = json.loads((tmp_path / "test" / "results.json").read_text())
    assert (results["images"], results["captions"]) == (IMAGES, 5 * IMAGES)
    chance = 100 * 10 / IMAGES  # percent of captions whose image is among ten drawn blindly
    assert results["t2i"]["r10"] >= 5 * chance
    assert recalls_in_double(tmp_path) == {side: r1_to_r10(results[side]) for side in ("i2t", "t2i")}


def recalls_in_double(folder: Path) -> dict[str, list[float]]:
    """Recalls on test in float64 from the first layer on, ranked plainly."""
    model = scan_lightning.load(folder / "run/checkpoints/best.ckpt")
    model.network.double()
    features = torch.from_numpy(np.load(folder / "release" / "test_ims.npy")).half().double()  # as stored
    captions = (folder / "release" / "test_caps.txt").read_text(encoding="utf-8").splitlines()
    scores = model.similarity(features, captions).numpy()
    assert scores.dtype == np.float64
    own = np.arange(len(captions)) // 5
    right = scores[own, np.arange(len(captions))]
    best = right.reshape(-1, 5).max(1)
    wrong = own[None, :] != np.arange(IMAGES)[:, None]
    ranks = {"i2t": ((scores >= best[:, None]) & wrong).sum(1), "t2i": ((scores >= right) & wrong).sum(0)}
    return {side: [100 * float((rank < k).mean()) for k in (1, 5, 10)] for side, rank in ranks.items()}


def r1_to_r10(side: dict[str, float]) -> list[float]:
    return [pytest.approx(side[name], abs=1e-9) for name in ("r1", "r5", "r10")]
