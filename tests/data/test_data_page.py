"""Every command and every line of Python in docs/data.md, run as it stands."""

import json
import re
import shlex
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from store_help import write_release

from scan_lightning import cli
from scan_lightning.data.check import check_store
from scan_lightning.data.store import Store

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
SMALL = [
    "data.batch_size=4",
    "data.word_threshold=1",
    "model.embed_size=4",
    "trainer=cpu",
    "trainer.max_steps=1",
]
FAULTY = "check --layout scan-release"  # the folder here is not the published data, and the doctor says so


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def foreign_folders() -> None:
    """The same six pictures in the three other layouts, and their captions."""
    from base64 import b64encode

    rng = np.random.default_rng(0)
    features = rng.standard_normal((6, 3, 8)).astype(np.float32)
    boxes = np.tile(np.array([1, 2, 30, 40], np.float32), (6, 3, 1))
    splits = ["train", "train", "train", "val", "val", "test"]
    sentences = [{"raw": f"a red dog {index}"} for index in range(5)]
    images = [
        {"filename": f"{row}.jpg", "cocoid": row, "split": split, "sentences": sentences}
        for row, split in enumerate(splits)
    ]
    Path("dataset_coco.json").write_text(json.dumps({"images": images}))
    for folder in ("trainval_36", "features", "dumps"):
        Path(folder).mkdir()
    lines = [
        "\t".join(
            [
                f"{row}",
                "64",
                "48",
                "3",
                *(b64encode(part[row].tobytes()).decode() for part in (boxes, features)),
            ]
        )
        for row in range(6)
    ]
    Path("trainval_36/a.tsv").write_text("\n".join(lines) + "\n")
    for row in range(6):
        np.savez(f"features/{row}.npz", features=features[row], boxes=boxes[row])
    with h5py.File("dumps/train.hdf5", "w") as file:
        file["image_features"], file["image_bb"] = features.reshape(-1, 8), boxes.reshape(-1, 4)
        file["pos_boxes"] = np.stack([np.arange(0, 18, 3), np.arange(3, 21, 3)], axis=1)
        file["ids"] = np.arange(6)


@pytest.mark.slow
def test_what_the_page_says_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_release(Path("f30k_precomp"), {"train": 8, "dev": 4, "test": 4})
    foreign_folders()
    commands = [line for block in blocks("bash") for line in block.splitlines() if line]
    assert len(commands) == 11
    for command in commands:
        program, *words = shlex.split(command)
        assert program == "scan-lightning"
        words += [*SMALL, "run_dir=run"] if words[0] == "train" else []
        monkeypatch.setattr(sys, "argv", [program, *words])
        assert cli.main(words) == (2 if FAULTY in command else 0), (command, capfd.readouterr().err)
    for name in ("flickr30k", "coco", "own", "vqa", "flickr30k_fp32", "small", "both"):
        assert check_store(tmp_path / f"{name}.h5", progress=False) == []
    assert Store("both.h5").image_count == 16 + 6
    assert Store("small.h5").splits == {"train": 2, "val": 2}
    assert (tmp_path / "run" / "results.json").exists()
    names: dict[str, object] = {}
    exec("\n".join(blocks("python")), names)
    assert names["regions"].shape == (2, 3, 8)  # type: ignore[attr-defined]


def test_every_layout_is_on_the_page() -> None:
    from scan_lightning.data.layouts.sources import LAYOUTS

    assert re.findall(r"^\| `([a-z0-9][a-z0-9-]+)` \| ", PAGE, re.MULTILINE)[: len(LAYOUTS)] == list(LAYOUTS)
