"""The stages in order: data, store, rows, ensembles, the table. Each stage skips what is done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scan_lightning.errors import ScanError
from scan_lightning.reproduce.doctor import find_data
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
    data: Path | None,
    only: Sequence[str],
    seeds: Sequence[int],
    slots: Sequence[Slot],
) -> list[Failure]:
    """Run what is not done of a table and write its results from all that is recorded so far.

    Args:
        table: what to reproduce.
        place: where to write.
        data: the released files.
        only: names of rows and ensembles; empty: all but the optional ablations.
        seeds: each row is trained with each.
        slots: where to run.

    Returns:
        What failed; the other rows are done.

    Raises:
        ScanError: no data, unknown names, no store.
    """
    names = chosen(table, only)
    folder = find_data(table, data)
    print(f"data: {folder} is complete", flush=True)
    built = ensure_store(place, folder)
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


def chosen(table: Table, only: Sequence[str]) -> list[str]:
    """The rows and ensembles to run.

    Raises:
        ScanError: a name the table does not have.
    """
    optional = {row.name for row in table.rows if row.ablation}
    if not only:
        return [name for name in table.names if name not in optional]
    if list(only) == ["all"]:
        return table.names
    unknown = [name for name in only if name not in table.names]
    if unknown:
        raise ScanError(
            f"only: {table.name} has no row {', '.join(unknown)}; "
            f"expected all, or some of {', '.join(table.names)}"
        )
    return list(only)


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
