"""`python -m scan_lightning.reproduce TABLE --data DIR`; the Makefile's reproduce-* targets."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from scan_lightning.errors import ScanError
from scan_lightning.reproduce.doctor import find_data
from scan_lightning.reproduce.dry import generate, shrink
from scan_lightning.reproduce.place import Place
from scan_lightning.reproduce.tables import TABLES, Table, chosen

EXAMPLES = """examples:
  python -m scan_lightning.reproduce flickr30k --data DIR
  python -m scan_lightning.reproduce coco --dry
  python -m scan_lightning.reproduce flickr8k --data DIR --only t2i_mean,i2t_lse,t2i_mean+i2t_lse --seed 0,1
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Reproduce a table; returns 0 done, 2 a user's fault, 130 interrupted, 1 a run failed."""
    args = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        return _run(TABLES[args.table], args)
    except ScanError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where this one stopped", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scan_lightning.reproduce",
        description="Train, evaluate and compare every row of a published table; what is done is skipped.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("table", choices=list(TABLES), help="which table")
    parser.add_argument("--data", type=Path, metavar="DIR", help="the features and captions, as released")
    parser.add_argument(
        "--dry", action="store_true", help="the whole way in minutes, on generated data, below outputs/"
    )
    parser.add_argument("--only", default="", metavar="ROW,ROW", help="rows and ensembles to run, or all")
    parser.add_argument(
        "--seed", default="0", metavar="N,N", help="seeds, each row once with each (default: 0)"
    )
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="runs at a time (default: one a GPU, or one on the CPU)"
    )
    return parser


def _run(table: Table, args: argparse.Namespace) -> int:
    names = chosen(table, [name for name in args.only.split(",") if name])
    seeds = _seeds(args.seed)
    place, given = Place.of(table.name, dry=args.dry), args.data
    if args.dry:
        table, given = shrink(table), place.work / "data"
        shutil.rmtree(place.work, ignore_errors=True)  # a dry run shows every step, each time
        generate(table, given)
    data = find_data(table, given)
    print(f"data: {data} is complete", flush=True)

    from scan_lightning.reproduce.driver import reproduce
    from scan_lightning.reproduce.slots import find_slots

    slots = find_slots(args.jobs)
    failures = reproduce(table, place, data=data, names=names, seeds=seeds, slots=slots)
    print((place.records / "results.md").read_text(encoding="utf-8"))
    print(f"results: {place.records}/results.{{csv,json,md,png}}", flush=True)
    if not failures:
        return 0
    print(f"\n{len(failures)} not done:", file=sys.stderr)
    for failure in failures:
        print(
            f"  {failure.name} seed {failure.seed}, {failure.step} (status {failure.status}):",
            file=sys.stderr,
        )
        print("\n".join(f"    {line}" for line in failure.reason.splitlines()), file=sys.stderr)
        if failure.log is not None:
            print(f"    log: {failure.log}", file=sys.stderr)
    return 2 if all(failure.status == 2 for failure in failures) else 1


def _seeds(text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError as error:
        raise ScanError(f"seed: found {text!r}; expected whole numbers, for example 0 or 0,1") from error


def _as_interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
