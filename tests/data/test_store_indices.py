"""A store whose index arrays were damaged is refused by whoever reads them, not only by `data check`."""

import h5py
import numpy as np
import pytest

from scan_lightning.cli import main
from scan_lightning.data.store import Store
from scan_lightning.data.writer import ImageRecord, write_store


@pytest.fixture
def store(tmp_path):
    records = [
        ImageRecord(
            id=f"{split}{row}",
            split=split,
            width=0,
            height=0,
            features=np.ones((2, 3), np.float32),
            boxes=None,
            captions=[f"a picture {row}"],
        )
        for split in ("train", "val")
        for row in range(2)
    ]
    path = tmp_path / "store.h5"
    write_store(path, records, source="made", feature_dim=3, images=4, regions=8, progress=False)
    return path


READS = {
    "region/offsets": lambda store: store.region_offsets,
    "caption/offsets": lambda store: store.caption_offsets,
    "caption/image": lambda store: store.caption_rows("train"),
    "caption/tokens": lambda store: store.caption_words(np.arange(4)),
    "image/split": lambda store: store.image_rows("train"),
}


@pytest.mark.parametrize(
    ("name", "row", "value"),
    [
        ("region/offsets", 1, 9),
        ("region/offsets", 0, 1),
        ("region/offsets", 4, 7),
        ("caption/offsets", 2, -1),
        ("caption/image", 0, 9999),
        ("caption/image", 1, -1),
        ("caption/tokens", 0, 99),
        ("image/split", 2, 7),
    ],
)
def test_an_index_to_nowhere_is_named(store, name, row, value):
    READS[name](Store(store))
    with h5py.File(store, "r+") as file:
        file[name][row] = value
    with pytest.raises(Exception, match=f"/{name} is damaged .*data check") as error:
        READS[name](Store(store))
    assert type(error.value).__name__ == "ScanError"


def test_nothing_is_derived_from_a_damaged_store(store, tmp_path, monkeypatch, capsys):
    with h5py.File(store, "r+") as file:
        file["caption/image"][0] = 9999
    command = [
        "data",
        "subset",
        str(store),
        "--splits",
        "train",
        "--images",
        "1",
        "--out",
        str(tmp_path / "o.h5"),
    ]
    monkeypatch.setattr("sys.argv", ["scan-lightning", *command])
    assert main() == 2
    assert "/caption/image is damaged (row 0 is 9,999; expected 0 to 3)" in capsys.readouterr().err
    assert not (tmp_path / "o.h5").exists()
