import csv
import errno
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retrieval.test_compare import queries
from retrieval.test_statistics import random_ranks
from scan_lightning.cli import main
from scan_lightning.report import comparison
from scan_lightning.retrieval.queries import FILE, Queries, pack_queries


def write(folder: Path, found: Queries) -> Path:
    folder.mkdir(parents=True)
    (folder / FILE).write_bytes(pack_queries(found))
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """Two runs; in the second the first caption's rank went from 0 to 39."""
    ranks = random_ranks()
    t2i = ranks.t2i.copy()
    t2i[0] = 0
    a = queries(replace(ranks, t2i=t2i))
    worse = t2i.copy()
    worse[0] = 39
    b = queries(replace(ranks, t2i=worse))
    odd = replace(a, captions=["cost $5 or $6", *a.captions[1:]])
    return write(tmp_path / "one" / "eval", odd), write(
        tmp_path / "two" / "eval", replace(b, captions=odd.captions)
    )


def test_tables_files_and_picture(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "out"
    assert main(["compare", str(runs[0]), str(runs[1] / FILE), "--out", str(out), "--queries", "3"]) == 0
    shown = capsys.readouterr().out
    assert "text-to-image: 0 queries better, 159 the same, 1 worse" in shown
    assert "1 → 40" in shown
    content = json.loads((out / "compare.json").read_text(encoding="utf-8"))
    assert (content["a"], content["b"]) == ("one/eval", "two/eval")
    figure = content["figures"]["t2i/r1"]
    assert figure["difference"] == pytest.approx(-100 / 160)
    assert figure["b"] - figure["a"] == pytest.approx(figure["difference"])
    assert figure["low"] <= figure["difference"] <= figure["high"] == 0
    assert [change["rank_b"] for change in content["changed_most"]] == [40]  # the others did not change
    with (out / "queries.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 40 + 160
    assert rows[0] == {
        "direction": "t2i",
        "image": "img0.jpg",
        "caption": "cost $5 or $6",
        "rank_a": "1",
        "rank_b": "40",
    }
    with (out / "compare.csv").open(encoding="utf-8") as file:
        assert [row["figure"] for row in csv.DictReader(file)][-1] == "rsum"
    picture = np.asarray(Image.open(out / "compare.png").convert("RGB"))
    assert (picture == (0xD5, 0x5E, 0x00)).all(2).any()  # something became worse
    assert not (picture == (0x00, 0x72, 0xB2)).all(2).any()  # and nothing better


def test_a_run_against_itself(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(runs[0]), str(runs[0]), "--out", str(tmp_path / "out")]) == 0
    assert "0 queries better, 160 the same, 0 worse" in capsys.readouterr().out


def test_faults_end_with_status_2(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    for words, message in (
        ([str(tmp_path), str(runs[0])], f"{tmp_path}: there is no ranks.npz in it; expected the folder of"),
        (
            [str(runs[0]), str(tmp_path / "gone")],
            f"{tmp_path / 'gone'}: there is no such folder or file; expected the folder of",
        ),
        (
            [str(runs[0]), str(tmp_path / "file")],
            f"{tmp_path / 'file'}: is damaged or no ranks.npz; evaluate",
        ),
        ([*map(str, runs), "--queries", "0"], "--queries is 0"),
        ([*map(str, runs), "--out", str(tmp_path / "file")], "--out"),
    ):
        assert main(["compare", *words]) == 2
        assert message in capsys.readouterr().err


def test_a_file_that_cannot_be_written_keeps_what_was_there(
    runs: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ["compare", *map(str, runs), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    def full(figure: object, path: Path, **_: object) -> None:
        path.write_text("the first half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(comparison.Figure, "savefig", full)
    capsys.readouterr()
    assert main(words) == 2
    assert f"{tmp_path / 'out' / 'compare.png'}: cannot be written: no space left" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
