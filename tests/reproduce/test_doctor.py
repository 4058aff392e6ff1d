"""What is said about data that is not there, or not what it should be."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scan_lightning.errors import ScanError
from scan_lightning.reproduce.doctor import find_data
from scan_lightning.reproduce.dry import generate, shrink
from scan_lightning.reproduce.tables import TABLES

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
        for part in (
            found,
            "kuanghueilee/scan-features",
            SIZES[name],
            table.needs.folder,
            f"make {table.target}",
        ):
            assert part in done.stderr
        for split in table.needs.splits:
            assert f"{split}_ims.npy, {split}_caps.txt" in done.stderr
        assert list(tmp_path.iterdir()) == []


def test_files_that_are_missing_are_named(tmp_path: Path) -> None:
    table = shrink(TABLES["coco"])
    generate(table, tmp_path)
    (tmp_path / "testall_ims.npy").unlink()
    (tmp_path / "dev_caps.txt").unlink()
    (tmp_path / "train_ims.npy").write_bytes(b"no array")
    with pytest.raises(ScanError, match=r"lacks dev_caps\.txt, testall_ims\.npy\.\n") as raised:
        find_data(table, tmp_path)
    assert "\n  faulty  train_ims.npy: is not an .npy file" in str(raised.value)


def test_the_folder_may_be_the_one_around_it(tmp_path: Path) -> None:
    table = shrink(TABLES["flickr30k"])
    generate(table, tmp_path / "f30k_precomp")
    assert find_data(table, tmp_path) == tmp_path / "f30k_precomp"
    assert find_data(table, tmp_path / "f30k_precomp") == tmp_path / "f30k_precomp"


def test_every_wrong_file_is_listed_with_the_expected_number(tmp_path: Path) -> None:
    table = shrink(TABLES["flickr30k"])
    generate(table, tmp_path)
    train = np.load(tmp_path / "train_ims.npy")
    np.save(tmp_path / "train_ims.npy", train[:-1])
    whole = (tmp_path / "dev_ims.npy").read_bytes()
    (tmp_path / "dev_ims.npy").write_bytes(whole[:-100])
    np.save(tmp_path / "test_ims.npy", np.load(tmp_path / "test_ims.npy")[..., :-1])
    captions = (tmp_path / "test_caps.txt").read_text().splitlines()
    (tmp_path / "test_caps.txt").write_text("\n".join(captions[:-2]) + "\n")
    (tmp_path / "dev_caps.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(ScanError) as raised:
        find_data(table, tmp_path)
    lines = str(raised.value).splitlines()[1:]
    assert [line.split(":")[0].strip() for line in lines] == [
        "train_ims.npy",
        "dev_ims.npy",
        "dev_caps.txt",
        "test_ims.npy",
        "test_caps.txt",
    ]
    assert str(raised.value).startswith(f"{table.title}: 5 faults in the files of {tmp_path}\n")
    for line, part in zip(
        lines,
        (
            "99 images; expected 100",
            "cut short",
            "line 1 is not UTF-8",
            "(images, regions, 48)",
            "expected 125",
        ),
        strict=True,
    ):
        assert part in line


def test_the_older_form_with_each_image_five_times_is_accepted(tmp_path: Path) -> None:
    table = shrink(TABLES["flickr30k"])
    generate(table, tmp_path)
    for split in table.needs.splits:
        path = tmp_path / f"{split}_ims.npy"
        np.save(path, np.repeat(np.load(path), 5, axis=0))
    assert find_data(table, tmp_path) == tmp_path


def test_where_no_numbers_are_published_any_number_of_images_will_do(tmp_path: Path) -> None:
    generate(shrink(TABLES["flickr8k"]), tmp_path)
    assert find_data(TABLES["flickr8k"], tmp_path) == tmp_path
    captions = (tmp_path / "dev_caps.txt").read_text().splitlines(keepends=True)
    (tmp_path / "dev_caps.txt").write_text("".join(captions[:-1]))
    with pytest.raises(ScanError, match=r"dev_caps\.txt: has \d+ captions for the \d+ images"):
        find_data(TABLES["flickr8k"], tmp_path)
    published = replace(TABLES["flickr8k"], needs=TABLES["flickr30k"].needs)
    with pytest.raises(ScanError, match="29,000"):
        find_data(published, tmp_path)
