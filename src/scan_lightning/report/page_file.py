"""The report page: one self-contained HTML file about one or several runs."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from scan_lightning.data.store import Store
from scan_lightning.errors import ScanWarning
from scan_lightning.model.checkpoint import load
from scan_lightning.model.trained import TrainedModel
from scan_lightning.report.attention import require_features
from scan_lightning.report.explorer import explorer_data
from scan_lightning.report.page_data import BUCKETS, run_data
from scan_lightning.report.pictures import data_uri, find_picture, open_picture
from scan_lightning.report.query_table import query_tables
from scan_lightning.report.rank_model import rank_model
from scan_lightning.report.run_tables import breakable, recall_html, record_html
from scan_lightning.report.runs import Run, comparable, one_each, swept_keys
from scan_lightning.retrieval.queries import Queries

SCRIPTS = ("base.js", "charts.js", "explorer.js", "page.js")
THUMBNAIL = 150  # pixels of the pictures in tables
ATTENTION = {
    "t2i": "Words attend to regions: the weights of a word sum to one over the picture's regions; the bar "
    "below a word is its relevance R, the cosine with what it attends to, orange when negative.",
    "i2t": "Regions attend to words: the weights of a region sum to one over the sentence's words.",
}


@dataclass(frozen=True)
class Explored:
    """The run whose queries and attention the page shows, with its model and data."""

    run: Run
    model: TrainedModel
    store: Store
    queries: Queries


def report_page(runs: Sequence[Run], *, images_dir: Path | None = None, pictures: int = 12) -> str:
    """Return the page as HTML that needs no other file and no network.

    Args:
        runs: at least one.
        images_dir: folder of the pictures, named by image id; without it regions are drawn on empty canvases.
        pictures: how many the explorer holds.

    Raises:
        ScanError: a model, a store or a picture is damaged or does not fit.
    """
    explored = _explored(runs)
    trained, compared = one_each(runs, evaluated=False), comparable(one_each(runs, evaluated=True))
    keys = swept_keys(compared)
    ranked = {run.name: run.queries for run in runs}
    if explored is not None:
        ranked[explored.run.name] = explored.queries
    data: dict[str, Any] = {
        "runs": [
            run_data(run, ranked[run.name], keys=keys, curves=run in trained, compared=run in compared)
            for run in runs
        ],
        "sweptKeys": keys,
        "buckets": BUCKETS,
    }
    sections = [_recall(runs)]
    if any(run.curves for run in runs):
        sections.append(_section("curves", "Training", "", '<div class="grid" id="curves"></div>'))
    if keys and sum("swept" in run for run in data["runs"]) > 1:
        about = f"The runs differ in {', '.join(f'<code>{escape(key)}</code>' for key in keys)}."
        sections.append(_section("sweep", "Sweep", about, '<div class="grid" id="sweep"></div>'))
    if any(ranked.values()):
        sections.append(_section("ranks", "Ranks", "", '<div class="grid" id="ranks"></div>'))
    if explored is not None:
        chosen = _spread_images(explored.queries, pictures, images_dir)
        data["explorer"] = explorer_data(explored.model, explored.store, explored.queries, chosen, images_dir)
        sections += [_explorer(explored), _queries(explored, images_dir)]
    sections.append(_section("records", "Runs", "", record_html(runs)))
    return _assemble(runs, sections, data)


def _explored(runs: Sequence[Run]) -> Explored | None:
    """Find the best run whose checkpoint and store are at hand; evaluated runs before others.

    Its ranks are computed, on test where the store has it, unless the run kept them.
    """
    usable = [run for run in runs if run.checkpoint is not None and run.store is not None]
    if not usable:
        warnings.warn(
            "no run's checkpoint and store are at their recorded places, so the page has no attention "
            "explorer and no queries; run the command from the folder the runs were started in",
            ScanWarning,
            stacklevel=2,
        )
        return None
    run = max(usable, key=lambda run: (run.queries is not None, run.rsum))
    assert run.checkpoint is not None
    assert run.store is not None
    model, store = load(run.checkpoint), Store(run.store)
    require_features(model, store)
    queries = run.queries
    if queries is None or queries.ranks.top is None:
        queries = rank_model(model, store, "test" if "test" in store.splits else "val")
    return Explored(run, model, store, queries)


def _spread_images(queries: Queries, count: int, images_dir: Path | None) -> list[int]:
    """Choose images at even distances, so that easy and hard ones appear as often as they are.

    Where the folder has pictures of some of them only, these.
    """
    images = queries.ranks.i2t_images.tolist()
    if images_dir is not None:
        images = [image for image in images if find_picture(images_dir, queries.image_ids[image])] or images
    count = min(count, len(images))
    return [images[(2 * place + 1) * len(images) // (2 * count)] for place in range(count)]


def _recall(runs: Sequence[Run]) -> str:
    levels = [run.results["interval"]["level"] for run in runs if run.results and "interval" in run.results]
    small = f" Small: {100 * levels[0]:.0f} % bootstrap interval over images." if levels else ""
    about = f"Percent of queries whose best right answer is among the first K.{small}"
    return _section("recall", "Recall", about, recall_html(runs))


def _queries(explored: Explored, images_dir: Path | None) -> str:
    queries, store = explored.queries, explored.store

    @cache
    def thumbnail(image: int) -> str:
        name = queries.image_ids[image]
        picture = open_picture(store, store.find_image(name), images_dir)
        if picture is None:
            return breakable(name)
        alt = escape(name, quote=True)
        return f'<img src="{data_uri(picture, THUMBNAIL)}" alt="{alt}" title="{alt}">'

    about = f"Of <b>{escape(explored.run.name)}</b> on {queries.split}."
    return _section("queries", "Best and worst queries", about, query_tables(queries, thumbnail))


def _explorer(explored: Explored) -> str:
    about = (
        f"<b>{escape(explored.run.name)}</b> on {explored.queries.split}. "
        f"{ATTENTION[explored.model.rule.direction]} Point at a word to highlight its regions, or at a "
        "region to highlight its words; tab and the arrow keys do the same. A wrong sentence was written for "
        "another picture; it may be true of this one too."
    )
    return _section("attention", "Attention explorer", about, '<div id="explorer"></div>')


def _section(name: str, title: str, about: str, body: str) -> str:
    quiet = f'<p class="quiet">{about}</p>' if about else ""
    return f'<section aria-labelledby="h-{name}"><h2 id="h-{name}">{title}</h2>{quiet}{body}</section>'


def _assemble(runs: Sequence[Run], sections: Sequence[str], data: dict[str, Any]) -> str:
    folder = files("scan_lightning.report.page")
    read = {
        name: (folder / name).read_text(encoding="utf-8") for name in ("page.html", "style.css", *SCRIPTS)
    }
    titles = [section.partition('id="h-')[2].partition("</h2>")[0].partition('">') for section in sections]
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    count = f"{len(runs)} runs" if len(runs) > 1 else f"run {escape(runs[0].name)}"
    return Template(read["page.html"]).substitute(
        title="Stacked cross attention: report",
        summary=f"{count}. Made by scan-lightning; this file needs nothing besides itself.",
        style=read["style.css"],
        links="".join(f'<a href="#h-{name}">{title}</a>' for name, _, title in titles),
        sections="\n".join(sections),
        data=text.replace("<", "\\u003c"),  # a "<" inside JSON could end the script element
        script="\n".join(read[name] for name in SCRIPTS),
    )
