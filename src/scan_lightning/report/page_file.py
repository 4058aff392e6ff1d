"""The report page: one self-contained HTML file about one or several runs."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from scan_lightning.data.store import Store
from scan_lightning.errors import ScanWarning
from scan_lightning.model.checkpoint import load
from scan_lightning.model.trained import TrainedModel
from scan_lightning.report.explanation import require_features
from scan_lightning.report.explorer import explorer_data
from scan_lightning.report.hardest import QueryRow, query_tables
from scan_lightning.report.page_data import BUCKETS, run_data
from scan_lightning.report.pictures import data_uri, find_picture, open_picture
from scan_lightning.report.rank_model import rank_model
from scan_lightning.report.run_tables import recall_rows, record_cells
from scan_lightning.report.runs import Run, comparable, one_each, swept_keys
from scan_lightning.retrieval.queries import Queries

SCRIPTS = ("base.js", "charts.js", "explorer.js", "page.js")
THUMBNAIL = 150  # pixels of the pictures in tables


@dataclass(frozen=True)
class Explored:
    """The run whose queries and attention the page shows, with its model and data."""

    run: Run
    model: TrainedModel
    store: Store
    queries: Queries


def report_page(
    runs: Sequence[Run], *, images_dir: Path | None = None, pictures: int = 12, trust: Sequence[str] = ()
) -> str:
    """Return the page as HTML that needs no other file and no network.

    Args:
        runs: at least one.
        images_dir: folder of the pictures, named by image id; without it regions are drawn on empty canvases.
        pictures: how many the explorer holds.
        trust: packages besides this one whose classes a run's checkpoint may name.

    Raises:
        ScanError: a model, a store or a picture is damaged or does not fit.
    """
    explored = _explored(runs, trust)
    trained, compared = one_each(runs, evaluated=False), comparable(one_each(runs, evaluated=True))
    keys = swept_keys(compared)
    ranked = {run.name: run.queries for run in runs}
    data: dict[str, Any] = {"sweptKeys": keys, "buckets": BUCKETS}
    tables: list[tuple[str, list[QueryRow]]] = []
    if explored is not None:
        model, store, queries = explored.model, explored.store, explored.queries
        ranked[explored.run.name] = queries
        chosen = _spread_images(queries, pictures, images_dir)
        data["explorer"] = explorer_data(model, store, queries, chosen, images_dir)
        tables = query_tables(queries, partial(_thumbnail, store, images_dir, queries))
    data["runs"] = [
        run_data(run, ranked[run.name], keys=keys, curves=run in trained, compared=run in compared)
        for run in runs
    ]
    levels = [run.results["interval"]["level"] for run in runs if run.results and "interval" in run.results]
    folder = files("scan_lightning.report.page")
    text = {
        name: (folder / name).read_text(encoding="utf-8") for name in ("page.html", "style.css", *SCRIPTS)
    }
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters["breakable"] = _breakable
    return environment.from_string(text["page.html"]).render(
        runs=runs,
        links=[
            ("recall", "Recall"),
            ("curves", "Training" if any(run.curves for run in runs) else ""),
            ("sweep", "Sweep" if keys and sum("swept" in run for run in data["runs"]) > 1 else ""),
            ("ranks", "Ranks" if any(ranked.values()) else ""),
            ("attention", "Attention explorer" if explored else ""),
            ("queries", "Best and worst queries" if explored else ""),
            ("records", "Runs"),
        ],
        level=levels[0] if levels else None,
        recalls=recall_rows(runs),
        swept=keys,
        explored=explored,
        tables=tables,
        records=[(run.name, record_cells(run.record)) for run in runs],
        style=text["style.css"],
        # A "<" inside JSON could end the script element.
        data=json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
        script="\n".join(text[name] for name in SCRIPTS),
    )


def _explored(runs: Sequence[Run], trust: Sequence[str]) -> Explored | None:
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
    model, store = load(run.checkpoint, trust), Store(run.store)
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


def _thumbnail(store: Store, images_dir: Path | None, queries: Queries, image: int) -> dict[str, str]:
    """Return the name of an image and its picture, if any, as a data URI."""
    name = queries.image_ids[image]
    picture = open_picture(store, store.find_image(name), images_dir)
    return {"name": name, "source": "" if picture is None else data_uri(picture, THUMBNAIL)}


def _breakable(name: str) -> Markup:
    """Return a name as HTML that a narrow column may break between its parts."""
    return Markup(re.sub(r"([/._-]+)", r"\1<wbr>", str(escape(name))))
