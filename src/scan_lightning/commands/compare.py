"""`scan-lightning compare`: two evaluations of the same queries, the second against the first."""

from __future__ import annotations

import argparse
from pathlib import Path

from scan_lightning.errors import ScanError

HELP = "two evaluated runs, query by query: differences with intervals, what changed most"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add = parser.add_argument
    add("run_a", type=Path, metavar="RUN_A", help="folder of an evaluation, or its ranks.npz")
    add("run_b", type=Path, metavar="RUN_B", help="another, of the same split and store")
    add("--out", type=Path, metavar="DIR", help="where the files go (default: outputs/compare/RUN_A-RUN_B)")
    add("--queries", type=int, default=10, metavar="N", help="how many queries to show (default: 10)")


def run(args: argparse.Namespace) -> int:
    """Compare, print the tables, write the files."""
    from rich.console import Console

    from scan_lightning.places import require_folder
    from scan_lightning.report.comparison import changes_table, counts_line, figures_table, write_comparison
    from scan_lightning.retrieval.paired import compare
    from scan_lightning.retrieval.queries import read_queries

    if args.queries < 1:
        raise ScanError(f"--queries is {args.queries}, expected at least 1")
    a, b = _names(args.run_a, args.run_b)
    folder = args.out or Path("outputs") / "compare" / f"{a}-{b}".replace("/", "_")
    require_folder(folder, "--out")
    comparison = compare(read_queries(args.run_a), read_queries(args.run_b))
    paths = write_comparison(folder, a, b, comparison, args.queries)
    console = Console(highlight=False)
    console.print(figures_table(a, b, comparison))
    for direction in ("i2t", "t2i"):
        console.print(counts_line(comparison, direction))
    console.print(changes_table(comparison, args.queries))
    console.print(f"written: {', '.join(path.name for path in paths)} in {folder}", soft_wrap=True)
    return 0


def _names(a: Path, b: Path) -> tuple[str, str]:
    """Return the names of the runs: the shortest ends of their paths that differ."""
    one, two = (path.resolve() if path.is_dir() else path.resolve().parent for path in (a, b))
    for length in range(1, max(len(one.parts), len(two.parts))):
        names = "/".join(one.parts[-length:]), "/".join(two.parts[-length:])
        if names[0] != names[1]:
            return names
    return one.name, two.name
