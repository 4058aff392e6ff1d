"""`python -m scan_lightning.reproduce TABLE --data DIR`; the Makefile's reproduce-* targets."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from scan_lightning import threads
from scan_lightning.errors import ScanError
from scan_lightning.reproduce.data_files import find_folder
from scan_lightning.reproduce.dry import generate, shrink
from scan_lightning.reproduce.paper_tables import TABLES, Table
from scan_lightning.reproduce.recorded import Folders

EXAMPLES = """examples:
  python -m scan_lightning.reproduce flickr30k --data DIR
  python -m scan_lightning.reproduce coco --dry
  python -m scan_lightning.reproduce flickr8k --data DIR --only t2i_mean,i2t_lse,t2i_mean+i2t_lse --seed 0,1
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Reproduce a table; returns 0 done, 2 a user's fault, 130 interrupted, 1 a run failed."""
    parser = argparse.ArgumentParser(
        prog="python -m scan_lightning.reproduce",
        description="Train, evaluate and compare every row of a published table; what is done is skipped.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("table", choices=list(TABLES), help="which table")
    add("--data", type=Path, metavar="DIR", help="the features and captions, as released")
    add("--dry", action="store_true", help="every step in minutes, on generated data, below outputs/")
    add("--only", default="", metavar="ROW,ROW", help="rows and ensembles to run, or all")
    add("--seed", default="0", metavar="N,N", help="seeds, each row once with each (default: 0)")
    add("--jobs", type=int, metavar="N", help="trainings at a time, on GPUs one each (default: 1)")
    args = parser.parse_args(argv)
    threads.prepare(count=args.jobs is None)
    try:
        return _run(TABLES[args.table], args)
    except ScanError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("the same command resumes where this one stopped", file=sys.stderr)
        return 130


def _run(table: Table, args: argparse.Namespace) -> int:
    names = table.chosen([name for name in args.only.split(",") if name])
    seeds = list(dict.fromkeys(args.seed.split(",")))
    if not all(seed.isdecimal() for seed in seeds):
        raise ScanError(f"seed: found {args.seed!r}; expected whole numbers, for example 0 or 0,1")
    if args.jobs is not None and args.jobs < 1:
        raise ScanError(f"jobs: found {args.jobs}; expected at least 1")
    folders = Folders(Path("outputs", "reproduce", table.name), Path("experiments", table.name))
    data = args.data
    if args.dry:
        work = Path("outputs", "reproduce-dry", table.name)
        table, folders, data = shrink(table), Folders(work, work / "records"), work / "data"
        shutil.rmtree(work, ignore_errors=True)  # a dry run shows every step, each time
        generate(table, data)
    data = find_folder(table, data)

    from scan_lightning.reproduce.driver import ensure_store, reproduce  # heavy, and data may be missing

    ensure_store(table, data, folders.store)
    failed = reproduce(table, folders, names, [int(seed) for seed in seeds], args.jobs)
    print((folders.records / "results.md").read_text(encoding="utf-8"))
    print(f"results: {folders.records}/results.{{csv,json,md,png}}", flush=True)
    for label, status in failed.items():
        print(f"not done: {label} (status {status}, its message is above)", file=sys.stderr)
    return 1 if any(status != 2 for status in failed.values()) else 2 * bool(failed)


if __name__ == "__main__":
    sys.exit(main())
