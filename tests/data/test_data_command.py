"""`scan-lightning data` as a user meets it: help, output, status."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from store_help import make_records, write, write_release

from scan_lightning.cli import main
from scan_lightning.units import size_text

COMMANDS = ["build", "check", "show", "convert", "subset", "merge"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"example:\n  scan-lightning data {command}" in text


@pytest.mark.parametrize("arguments", [[], ["build"], ["build", "--layout", "zip"], ["mend"], ["show"]])
def test_a_wrong_command_line_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", *arguments]) == 2
    assert "usage:" in capsys.readouterr().err


def test_build_check_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_release(tmp_path / "f8k", {"train": 6, "test": 2}, extras=True)
    out = str(tmp_path / "f8k.h5")
    assert (
        main(["data", "build", "--layout", "scan-release", "--root", str(tmp_path / "f8k"), "--out", out])
        == 0
    )
    captured = capsys.readouterr()
    assert "8 images, 40 captions, 24 regions of 8 float16" in captured.out
    assert f"next: scan-lightning data check {out}" in captured.out
    assert "writing f8k.h5: 8 of 8 images" in captured.err
    assert "images/s" in captured.err
    assert main(["data", "check", out]) == 0
    captured = capsys.readouterr()
    assert f"no problem ({size_text(Path(out).stat().st_size)} in " in captured.out
    assert f"checking f8k.h5: {size_text(Path(out).stat().st_size)} of " in captured.err
    assert main(["data", "show", out, "--samples", "1"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in (
        "24 regions of 8 float16, 3 an image",
        "boxes x1 y1 x2 y2 in pixels for every region",
        "ids train-0.jpg ... test-1.jpg",
        "captions 40, 5 an image",
        "│ train │ 6 │ 30 │ 18 │",
        "│ test │ 2 │ 10 │ 6 │",
        "train train-0.jpg train picture 0 , caption 0 .",
        "test test-0.jpg test picture 0 , caption 0 .",
        "tokenizer spacy-en-lower",
    ):
        assert words in text, words


def test_show_counts_the_vocabulary_at_four(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_release(tmp_path / "x", {"train": 1, "test": 1})
    out = str(tmp_path / "x.h5")
    main(["data", "build", "--layout", "scan-release", "--root", str(tmp_path / "x"), "--out", out])
    capsys.readouterr()
    assert main(["data", "show", out]) == 0
    text = capsys.readouterr().out
    # train, picture, ",", caption, "." five times; "0" six times; 1 to 4 once; the word "test" in test only
    assert "vocabulary      10 (" in text
    assert "words           11, of them 1 in test captions only" in text


def test_show_keeps_a_caption_with_line_breaks_on_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = make_records(3)
    records[0] = type(records[0])(**vars(records[0]) | {"captions": ["one\ntwo\r\x1b[1m three é"]})
    main(["data", "show", str(write(tmp_path / "x.h5", records))])
    assert "  one\\ntwo\\r\\x1b[1m three é\n" in capsys.readouterr().out


def test_check_lists_every_fault_with_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "s.h5", make_records())
    with h5py.File(path, "r+") as file:
        file["region/features"][0, 0] = np.nan
        file["image/id"][3] = "image-0-4"
    assert main(["data", "check", str(path)]) == 2
    errors = capsys.readouterr().err
    assert "problem: /region/features: 1 regions hold NaN" in errors
    assert "problem: /image/id: 1 ids come twice" in errors
    assert f"error: {path}: 5 problems" in errors


@pytest.mark.parametrize("command", ["check", "show"])
def test_a_missing_store_is_status_2(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", command, str(tmp_path / "none.h5")]) == 2
    out = str(tmp_path / "none.h5")
    assert capsys.readouterr().err == (
        f"error: {out}: there is no such file. "
        "`scan-lightning data build --help` shows how to make a store.\n"
    )


def test_a_folder_instead_of_a_store_is_told_what_folders_are_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", str(tmp_path)]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith(f"error: {tmp_path}: is a folder; expected a store, one HDF5 file.")
    assert "data build" in errors
    assert f"data check --layout scan-release {tmp_path}" in errors
    assert "trusted" not in errors


def test_captions_that_look_like_markup_are_printed_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_release(tmp_path / "x", {"train": 1})
    (tmp_path / "x" / "train_caps.txt").write_text("a [red] box\n[/b] dog\n\n[bold]x\n" + "y\n")
    out = str(tmp_path / "x.h5")
    assert (
        main(["data", "build", "--layout", "scan-release", "--root", str(tmp_path / "x"), "--out", out]) == 0
    )
    assert main(["data", "show", out]) == 0
    text = capsys.readouterr().out
    assert "a [red] box\n  [/b] dog\n  (empty)\n  [bold]x\n" in text
