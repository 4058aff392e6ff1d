"""Every page of the documentation: its commands and its Python run, its links lead somewhere."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from documentation.pages import Page, Scenes, pages, written
from documentation.shell import ROOT, blocks, noted_commands, run_command
from scan_lightning.data.scenes.build import build_scenes

RUN_HERE = [page for page in pages() if not page.run_by]


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    folder = tmp_path_factory.mktemp("documentation")
    found = Scenes(folder / "scenes.h5", folder / "images")
    build_scenes(found.store, images_dir=found.images, train=12, val=6, test=160, seed=2, progress=False)
    return found


def test_another_test_runs_what_is_not_run_here() -> None:
    for page in pages():
        assert not page.run_by or (ROOT / page.run_by).is_file()


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN_HERE, ids=[page.path for page in RUN_HERE])
def test_the_commands_of_a_page_work_one_after_another(
    page: Page, scenes: Scenes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / page.path).read_text()
    for standing, real in page.replaced.items():
        assert standing in text
        text = text.replace(standing, real)
    (tmp_path / "noting").mkdir()
    commands = noted_commands("\n".join(blocks(text, "bash")), tmp_path / "noting")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    for store in page.stores:
        shutil.copy(scenes.store, store)
    if page.prepare is not None:
        page.prepare(scenes)
    for words in commands:
        if not any(" ".join(words).startswith(left) for left in page.left_out):
            run_command(words, monkeypatch)
    names: dict[str, Any] = {}
    for block in blocks(text, "python"):
        exec(compile(block, page.path, "exec"), names)


@pytest.mark.parametrize("path", written(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    text = path.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, heading = target.partition("#")
        linked = (path.parent / file).resolve() if file else path
        assert linked.exists(), target
        assert linked.is_relative_to(ROOT), target
        if heading:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE)
            anchors = [re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings]
            assert heading in anchors, target


def test_the_index_lists_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    for path in sorted(ROOT.glob("docs/*.md")):
        assert path.name == "README.md" or f"]({path.name})" in index, path.name


def test_pictures_are_small_and_shown() -> None:
    """Committed pictures stay below 300 KB, and a page shows each."""
    text = "".join(path.read_text() for path in written())
    pictures = sorted((ROOT / "docs" / "pictures").glob("*.png"))
    assert pictures
    for picture in pictures:
        assert picture.stat().st_size < 300_000, picture.name
        assert re.search(rf'pictures/{picture.name}[)"]', text), picture.name
