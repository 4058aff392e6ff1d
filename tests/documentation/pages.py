"""The documentation pages, and what each finds in the folder where its commands run.

A page that is not in `PAGES` finds a copy of the scenes for every store that its commands train on.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from documentation.shell import ROOT
from scan_lightning import cli


@dataclass(frozen=True)
class Scenes:
    """A few drawn scenes: a store and the folder of its pictures."""

    store: Path
    images: Path


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        path: from the repository's root.
        prepare: puts into the current folder what the page's commands read, beyond the stores.
        stores: names of store files to put there, copies of the scenes.
        replaced: text of the page that stands for something of the reader's.
        left_out: commands that another test runs, with its name, by their first words.
        run_by: the test that runs the page, where it is not `test_pages.py`.
    """

    path: str
    prepare: Callable[[Scenes], None] | None = None
    stores: tuple[str, ...] = ()
    replaced: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    run_by: str = ""


def release(scenes: Scenes) -> None:
    """Features and captions as SCAN's authors released theirs, of random content."""
    random = np.random.default_rng(0)
    for folder in ("f30k_precomp", "flickr8k"):
        Path(folder).mkdir()
        for split, images in (("train", 12), ("dev", 4), ("test", 6)):
            features = random.normal(size=(images, 3, 10)).astype(np.float32)
            np.save(Path(folder) / f"{split}_ims.npy", features)
            captions = [
                f"a {word} dog" for _ in range(images) for word in ("red", "big", "wet", "old", "sad")
            ]
            (Path(folder) / f"{split}_caps.txt").write_text("\n".join(captions) + "\n")


def demo(scenes: Scenes) -> None:
    """What `scan-lightning demo` leaves for other commands, of few scenes."""
    folder = Path("outputs/demo")
    folder.mkdir(parents=True)
    shutil.copy(scenes.store, folder / "scenes.h5")
    shutil.copytree(scenes.images, folder / "images")
    tiny = ["data.path=outputs/demo/scenes.h5", "trainer=cpu"]
    for command in (
        ["train", *tiny, "run_dir=outputs/demo/train", "model.embed_size=8", "trainer.max_steps=2"],
        [
            "evaluate",
            *tiny,
            "run_dir=outputs/demo/test",
            "checkpoint=outputs/demo/train/checkpoints/best.ckpt",
        ],
    ):
        before, sys.argv = sys.argv, ["scan-lightning", *command]
        try:
            assert cli.main(command) == 0
        finally:
            sys.argv = before


def both(scenes: Scenes) -> None:
    """For the README."""
    release(scenes)
    demo(scenes)


def own_files(scenes: Scenes) -> None:
    """The grid that docs/sweeps.md shows, and the recipe of docs/recipes.md."""
    for kind, text in (
        ("sweep", "# @package hydra.sweeper\nparams:\n  attention: t2i_lse,t2i_mean\n  seed: 0,1,2\n"),
        ("experiment", "# @package _global_\ndefaults:\n  - override /attention: t2i_mean\n"),
    ):
        folder = Path("mine") / kind
        folder.mkdir(parents=True)
        (folder / "NAME.yaml").write_text(text)


def shown_files(page: str) -> Callable[[Scenes], None]:
    """Write the files that a page shows: blocks whose first line is a comment with their path."""

    def write(scenes: Scenes) -> None:
        text = (ROOT / page).read_text()
        for path, content in re.findall(
            r"^```(?:yaml|python)\n# (\S+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE
        ):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(content)

    return write


# It knows the sizes of the real files, and would say that these are others.
DOCTOR = {"scan-lightning data check --layout scan-release": "tests/data/test_scan_doctor.py"}
DEMO = {"scan-lightning demo": "tests/report/test_demo.py", "make demo": "the same"}

PAGES = (
    Page("README.md", prepare=both, left_out=DEMO | DOCTOR),
    Page("docs/tour.md", prepare=demo, left_out=DEMO),
    Page("docs/python.md", prepare=demo, left_out=DEMO),
    Page(
        "docs/configuration.md",
        prepare=shown_files("docs/configuration.md"),
        stores=("flickr8k.h5", "flickr30k.h5"),
        left_out={"scan-lightning train --info": "tests/cli/test_open_nodes.py"},
    ),
    Page("docs/recipes.md", prepare=own_files, stores=("flickr30k.h5", "coco.h5", "flickr8k.h5")),
    Page("docs/sweeps.md", prepare=own_files, stores=("flickr8k.h5", "flickr30k.h5")),
    Page("docs/data.md", run_by="tests/data/test_data_page.py"),
    Page("docs/wandb.md", run_by="tests/logging/test_wandb_docs.py"),
    Page("experiments/demo/README.md", left_out=DEMO),
    Page("experiments/flickr8k/README.md", prepare=release),
)


def written() -> list[Path]:
    """The repository's pages."""
    return [
        ROOT / "README.md",
        *sorted(ROOT.glob("docs/*.md")),
        *sorted(ROOT.glob("experiments/**/README.md")),
    ]


def pages() -> list[Page]:
    """Every page with what it needs."""
    special = {page.path: page for page in PAGES}
    found = [str(path.relative_to(ROOT)) for path in written()]
    assert set(special) <= set(found), set(special) - set(found)
    return [special.get(path) or Page(path, stores=_stores(path)) for path in found]


def _stores(path: str) -> tuple[str, ...]:
    return tuple(sorted(set(re.findall(r"data\.path=(\w+\.h5)", (ROOT / path).read_text()))))
