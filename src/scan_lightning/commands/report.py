"""`scan-lightning report`: one HTML page about one or several runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from scan_lightning.errors import ScanError

HELP = "one HTML page of runs: recall, curves, sweep, ranks, and attention to explore"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add = parser.add_argument
    runs = "folder of a training or evaluation, or of a sweep"
    add("runs", nargs="+", type=Path, metavar="RUN", help=runs)
    add("--out", required=True, type=Path, metavar="FILE.html", help="the page")
    add("--images", type=Path, metavar="DIR", help="folder of the pictures, named by image id")
    add("--pictures", type=int, default=12, metavar="N", help="pictures in the explorer (default: 12)")
    trust = "packages whose classes a run's checkpoint may name; their code is run"
    add("--trust", nargs="+", default=[], metavar="PACKAGE", help=trust)


def run(args: argparse.Namespace) -> int:
    """Read the runs, write the page, print its name."""
    from scan_lightning.files import write_text
    from scan_lightning.places import require_file
    from scan_lightning.report.page_file import report_page
    from scan_lightning.report.runs import read_runs

    if args.pictures < 1:
        raise ScanError(f"--pictures is {args.pictures}, expected at least 1")
    if args.images is not None and not args.images.is_dir():
        raise ScanError(f"--images {args.images}: there is no such folder; expected one with the pictures")
    require_file(args.out, "--out")
    runs = read_runs(args.runs)
    page = report_page(runs, images_dir=args.images, pictures=args.pictures, trust=args.trust)
    write_text(args.out, page)
    print(f"{args.out} ({len(page.encode()) / 1e6:.1f} MB)")
    return 0
