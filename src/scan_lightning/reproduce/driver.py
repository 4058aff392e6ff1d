"""The stages in order: data, store, rows, ensembles, the table. Each stage skips what is done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scan_lightning.errors import ScanError
from scan_lightning.reproduce.output import write_results
from scan_lightning.reproduce.picture import draw
from scan_lightning.reproduce.place import Place
from scan_lightning.reproduce.record import record_run
from scan_lightning.reproduce.results import collect
from scan_lightning.reproduce.runner import Failure, run_all
from scan_lightning.reproduce.slots import Slot
from scan_lightning.reproduce.steps import Work, ensemble_work, row_work
from scan_lightning.reproduce.store_stage import ensure_store
from scan_lightning.reproduce.tables import Ensemble, Row, Table


def reproduce(
    table: Table,
    place: Place,
    *,
    data: Path,
    names: Sequence[str],
    seeds: Sequence[int],
    slots: Sequence[Slot],
) -> list[Failure]:
    """Run what is not done of a table and write its results from all that is recorded so far.

    Args:
        table: what to reproduce.
        place: where to write.
        data: the folder with the released files, checked.
        names: rows and ensembles to run.
        seeds: each row is trained with each.
        slots: where to run.

    Returns:
        What failed; the other rows are done.

    Raises:
        ScanError: no store could be built.
    """
    built = ensure_store(place, data)
    print(f"store: {place.store} {'built' if built else 'is there'}", flush=True)
    place.records.mkdir(parents=True, exist_ok=True)

    def done(work: Work) -> None:
        record_run(place.run(work.name, work.seed), place.record(work.name, work.seed))
        write_table(table, place)

    failures: list[Failure] = []
    for stage in (table.rows, table.ensembles):  # an ensemble needs its rows trained
        items = [item for item in stage if item.name in names]
        works = [_work(table, place, item, seed, failures) for seed in seeds for item in items]
        failures += run_all([work for work in works if work is not None], slots, place, done)
    write_table(table, place)
    return failures


def write_table(table: Table, place: Place) -> None:
    """Write results.csv, results.json, results.md and results.png from the records."""
    lines = collect(table, place)
    write_results(table, lines, place.records)
    draw(table, lines, place.records / "results.png")


def _work(
    table: Table, place: Place, item: Row | Ensemble, seed: int, failures: list[Failure]
) -> Work | None:
    try:
        if isinstance(item, Row):
            return row_work(table, place, item, seed)
        return ensemble_work(table, place, item, seed)
    except ScanError as error:
        failures.append(Failure(item.name, seed, "start", 2, str(error)))
        return None
