"""What is said about data that is not there, or not what it should be."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scan_lightning.data.layouts import scan_published
from scan_lightning.errors import ScanError
from scan_lightning.reproduce.data_files import check_files, find_folder
from scan_lightning.reproduce.dry import generate, shrink
from scan_lightning.reproduce.paper_tables import TABLES

SIZES = {"flickr30k": "8.55 GB", "coco": "33.41 GB"}


@pytest.mark.parametrize("name", SIZES)
def test_without_data_one_message_says_what_from_where_how_large_and_where_to_put_it(
    name: str, tmp_path: Path
) -> None:
    for words, found in ([], "no data folder was given"), (["--data", "nowhere"], "no folder nowhere"):
        done = subprocess.run(
            [sys.executable, "-m", "scan_lightning.reproduce", name, *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.count("error:") == 1
        assert "Traceback" not in done.stderr
        table = TABLES[name]
        parts = (found, "kuanghueilee/scan-features", SIZES[name], table.folder, f"make {table.target}")
        assert all(part in done.stderr for part in parts)
        for split in table.splits:
            assert f"{split}_ims.npy, {split}_caps.txt" in done.stderr
        assert list(tmp_path.iterdir()) == []


def test_the_folder_may_be_the_one_around_it(tmp_path: Path) -> None:
    inside = tmp_path / "f30k_precomp"
    inside.mkdir()
    assert find_folder(TABLES["flickr30k"], tmp_path) == inside
    assert find_folder(TABLES["flickr30k"], inside) == inside


def test_missing_and_faulty_files_are_named_in_one_message(tmp_path: Path) -> None:
    table = TABLES["coco"]
    generate(table, tmp_path)
    (tmp_path / "testall_ims.npy").unlink()
    (tmp_path / "testall_caps.txt").unlink()
    (tmp_path / "dev_caps.txt").unlink()
    (tmp_path / "train_ims.npy").write_bytes(b"no array")
    with pytest.raises(ScanError) as raised:
        check_files(shrink(table), tmp_path)
    lines = str(raised.value).splitlines()
    assert lines[0].endswith(f"4 errors in the files of {tmp_path}")
    assert [line.split(":")[0].strip() for line in lines[1:5]] == [
        "train_ims.npy",
        "dev_caps.txt",
        "testall_ims.npy",
        "testall_caps.txt",
    ]
    assert lines[5].startswith("  needed  train_ims.npy, train_caps.txt")
    with pytest.raises(ScanError, match="holds none of the files"):
        check_files(table, tmp_path.parent)


def test_the_files_are_held_against_the_released_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = TABLES["flickr30k"]
    generate(table, tmp_path)
    with pytest.raises(ScanError, match="these are not the released files of Flickr30K, but your own data"):
        check_files(table, tmp_path)
    check_files(shrink(table), tmp_path)
    small = scan_published.Published(
        "Flickr30K", "f30k_precomp", {"train": 100, "dev": 25, "test": 25}, 8481, regions=12, width=48
    )
    monkeypatch.setattr(scan_published, "PUBLISHED", (small,))
    check_files(table, tmp_path)
    np.save(tmp_path / "train_ims.npy", np.load(tmp_path / "train_ims.npy")[:-1])
    captions = (tmp_path / "test_caps.txt").read_text().splitlines()
    (tmp_path / "test_caps.txt").write_text("\n".join(captions[:-2]) + "\n")
    with pytest.raises(ScanError) as raised:
        check_files(table, tmp_path)
    text = str(raised.value)
    assert "train_ims.npy: wrong shape, (99, 12, 48), expected (100, 12, 48)" in text
    assert "test_caps.txt: truncated, 123 captions, expected 125" in text
    assert "needed" not in text


def test_where_no_numbers_are_published_any_number_of_images_will_do(tmp_path: Path) -> None:
    table = TABLES["flickr8k"]
    generate(table, tmp_path)
    check_files(table, tmp_path)
    captions = (tmp_path / "dev_caps.txt").read_text().splitlines(keepends=True)
    (tmp_path / "dev_caps.txt").write_text("".join(captions[:-1]))
    with pytest.raises(
        ScanError, match=r"1 error in the files of .*\n  dev_caps\.txt: inconsistent, has 124"
    ):
        check_files(table, tmp_path)
