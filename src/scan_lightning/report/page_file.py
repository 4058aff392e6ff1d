"""The report page: one self-contained HTML file about one or several runs."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from scan_lightning.data.store import Store
from scan_lightning.errors import ScanError, ScanWarning
from scan_lightning.model.checkpoint import load
from scan_lightning.model.trained import TrainedModel
from scan_lightning.report.attention import find_picture
from scan_lightning.report.explorer import data_uri, explorer_data, picture_of
from scan_lightning.report.page_data import BUCKETS, run_data
from scan_lightning.report.query_table import query_tables, shown_images
from scan_lightning.report.run_tables import breakable, recall_html, record_html
from scan_lightning.report.runs import Run, comparable, one_each, swept_keys
from scan_lightning.report.scoring import rank_model
from scan_lightning.retrieval.queries import Queries

SCRIPTS = ("base.js", "charts.js", "explorer.js", "page.js")
THUMBNAIL = 150  # pixels of the pictures in tables


@dataclass(frozen=True)
class Explored:
    """The run whose model and data are at hand and which is looked at closely."""

    run: Run
    model: TrainedModel
    store: Store
    queries: Queries


def report_page(runs: Sequence[Run], *, images_dir: Path | None = None, pictures: int = 12) -> str:
    """Makes the page.

    Args:
        runs: At least one.
        images_dir: Folder of the pictures, found by image id; without it regions lie on empty canvases.
        pictures: How many the explorer holds.

    Returns:
        HTML that needs no other file and no network.

    Raises:
        ScanError: A model, a store or a picture is damaged or does not fit.
    """
    explored = explore(runs)
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
        chosen = _chosen(explored.queries, pictures, images_dir)
        data["explorer"] = explorer_data(explored.model, explored.store, explored.queries, chosen, images_dir)
        sections.append(_explorer(explored))
        sections.append(_queries(explored, images_dir))
    sections.append(_section("records", "Runs", "", record_html(runs)))
    return _assemble(runs, sections, data)


def explore(runs: Sequence[Run]) -> Explored | None:
    """Finds the best run whose checkpoint and store are at hand; evaluated runs before others.

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
    run = max(usable, key=lambda run: (run.queries is not None, (run.results or {}).get("rsum", 0.0)))
    assert run.checkpoint is not None
    assert run.store is not None
    model, store = load(run.checkpoint), Store(run.store)
    if model.feature_dim != store.feature_dim:
        raise ScanError(
            f"{run.store}: its features are {store.feature_dim} wide, but {run.checkpoint} takes "
            f"{model.feature_dim}; the run's store was replaced by another one"
        )
    queries = run.queries
    if queries is None or queries.ranks.top is None:
        queries = rank_model(model, store, "test" if "test" in store.splits else "val")
    return Explored(run, model, store, queries)


def _chosen(queries: Queries, count: int, images_dir: Path | None) -> list[int]:
    """Images at even distances, so that easy and hard ones are met as often as they are.

    Where the folder has pictures of some of them only, these.
    """
    images = queries.ranks.i2t_images.tolist()
    if images_dir is not None:
        seen = [image for image in images if find_picture(images_dir, queries.image_ids[image])]
        images = seen or images
    count = min(count, len(images))
    return [images[(2 * place + 1) * len(images) // (2 * count)] for place in range(count)]


def _recall(runs: Sequence[Run]) -> str:
    levels = [run.results["interval"]["level"] for run in runs if run.results and "interval" in run.results]
    told = f" Small: {100 * levels[0]:.0f} % bootstrap interval over images." if levels else ""
    about = f"Percent of queries whose best right answer is among the first K.{told}"
    return _section("recall", "Recall", about, recall_html(runs))


def _queries(explored: Explored, images_dir: Path | None) -> str:
    thumbnails: dict[int, str] = {}
    queries, store = explored.queries, explored.store
    for image in shown_images(queries):
        name = queries.image_ids[image]
        picture = picture_of(store, store.find_image(name), images_dir)
        alt = escape(name, quote=True)
        thumbnails[image] = (
            f'<img src="{data_uri(picture, THUMBNAIL)}" alt="{alt}" title="{alt}">'
            if picture
            else breakable(name)
        )
    about = f"Of <b>{escape(explored.run.name)}</b> on {queries.split}."
    return _section("queries", "Best and worst queries", about, query_tables(queries, thumbnails.__getitem__))


def _explorer(explored: Explored) -> str:
    way = {
        "t2i": "Words look at regions: the weights of a word add up to one over the picture's regions; the "
        "bar below a word is its relevance R, the cosine with what it looks at, orange when negative.",
        "i2t": "Regions look at words: the weights of a region add up to one over the sentence's words.",
    }[explored.model.rule.direction]
    about = (
        f"<b>{escape(explored.run.name)}</b> on {explored.queries.split}. {way} Point at a word and its "
        "regions light up, point at a region and its words do; tab and the arrow keys do the same. A wrong "
        "sentence was written for another picture; it may be true of this one too."
    )
    return _section("attention", "Attention explorer", about, '<div id="explorer"></div>')


def _section(name: str, title: str, about: str, body: str) -> str:
    told = f'<p class="quiet">{about}</p>' if about else ""
    return f'<section aria-labelledby="h-{name}"><h2 id="h-{name}">{title}</h2>{told}{body}</section>'


def _assemble(runs: Sequence[Run], sections: Sequence[str], data: dict[str, Any]) -> str:
    folder = files("scan_lightning.report.page")
    read = {
        name: (folder / name).read_text(encoding="utf-8") for name in ("page.html", "style.css", *SCRIPTS)
    }
    titles = [section.partition('id="h-')[2].partition("</h2>")[0].partition('">') for section in sections]
    links = "".join(f'<a href="#h-{name}">{title}</a>' for name, _, title in titles)
    # A "<" inside JSON could end the script element.
    values = json.dumps(data, ensure_ascii=False, separators=(",", ":"), default=_plain).replace(
        "<", "\\u003c"
    )
    count = f"{len(runs)} runs" if len(runs) > 1 else f"run {escape(runs[0].name)}"
    return Template(read["page.html"]).substitute(
        title="Stacked cross attention: report",
        summary=f"{count}. Made by scan-lightning; this file needs nothing besides itself.",
        style=read["style.css"],
        links=links,
        sections="\n".join(sections),
        data=values,
        script="\n".join(read[name] for name in SCRIPTS),
    )


def _plain(value: object) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no plain value")
