"""The Flickr30K evaluation at full size: released captions, random features, an untrained model."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scan_lightning.data.layouts import scan_doctor
from scan_lightning.reproduce.driver import ensure_store, reproduce
from scan_lightning.reproduce.paper_tables import TABLES
from scan_lightning.reproduce.recorded import Folders

pytestmark = [pytest.mark.slow, pytest.mark.real_data, pytest.mark.timeout(1800)]
TRAIN_IMAGES = 50
SHORT = ("model.embed_size=32", "model.word_size=32", "trainer.max_steps=1")


def write_random_features(path: Path, images: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    out = np.lib.format.open_memmap(path, "w+", "float32", (images, 36, 2048))
    for start in range(0, images, 100):
        out[start : start + 100] = random.standard_normal(
            (min(100, images - start), 36, 2048), dtype=np.float32
        )
    out.flush()


def test_the_released_captions_with_random_features_stand_at_chance(
    real_data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, data = real_data_dir / "released", tmp_path / "data"
    data.mkdir()
    dev = (released / "f30k_dev_caps.txt").read_bytes()
    (data / "dev_caps.txt").write_bytes(dev)
    (data / "test_caps.txt").write_bytes((released / "f30k_test_caps.txt").read_bytes())
    # The released training captions are not at hand: one step on some of dev's gives a model to evaluate.
    (data / "train_caps.txt").write_bytes(b"".join(dev.splitlines(keepends=True)[: 5 * TRAIN_IMAGES]))
    for seed, (split, images) in enumerate({"train": TRAIN_IMAGES, "dev": 1_014, "test": 1_000}.items()):
        write_random_features(data / f"{split}_ims.npy", images, seed)
    # Fewer training images than the released ones, so the numbers that `data check` knows do not apply.
    monkeypatch.setattr(scan_doctor, "PUBLISHED", ())
    monkeypatch.setattr(scan_doctor, "recognise", lambda _: None)
    table = replace(TABLES["flickr30k"], released=None, overrides=SHORT)
    monkeypatch.chdir(tmp_path)
    folders = Folders(Path("outputs", "flickr30k"), Path("records"))
    names = ["t2i_mean", "i2t_lse", "t2i_mean+i2t_lse"]
    ensure_store(table, data, folders.store)
    assert reproduce(table, folders, names, [0]) == {}
    with (folders.records / "results.csv").open() as file:
        rows = {row["row"]: row for row in csv.DictReader(file)}
    for name in names:
        # By chance a caption finds its image among the first 10 of 1,000 in 1 % of all cases, and an image
        # one of its five captions among the first 10 of 5,000 in 1 %, too.
        assert 0.3 < float(rows[name]["t2i_r10"]) < 1.7
        assert float(rows[name]["i2t_r10"]) < 2.6
        assert rows[name]["verdict"] == "below"
        assert float(rows[name]["difference"]) < -400
