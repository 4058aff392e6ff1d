"""The data files: there and without error, or one message with all that is wrong and where to get them."""

from __future__ import annotations

from pathlib import Path

from scan_lightning.errors import ScanError
from scan_lightning.reproduce.paper_tables import Table


def find_folder(table: Table, given: Path | None) -> Path:
    """The folder with the files, which is `given` or lies in it.

    Raises:
        ScanError: there is none.
    """
    if given is None:
        raise missing(table, "no data folder was given", Path("DIR"))
    inside = given / table.folder
    if not given.is_dir():
        raise missing(table, f"there is no folder {given}", given)
    return inside if inside.is_dir() else given


def check_files(table: Table, folder: Path) -> None:
    """Read every file through, as `scan-lightning data check --layout scan-release` does.

    Raises:
        ScanError: all that is missing or wrong.
    """
    from scan_lightning.data.layouts.scan_doctor import examine  # imports torch

    absent = [name for name in table.files if not (folder / name).exists()]
    if len(absent) == len(table.files):
        raise missing(table, f"{folder} holds none of the files", folder)
    reports = examine(folder)
    found = [finding for report in reports for finding in report.findings if finding.wrong]
    errors = [f"{finding.path.name}: {finding.state}, {finding.detail}" for finding in found]
    errors += [f"{name}: missing" for name in absent if name not in {finding.path.name for finding in found}]
    if table.released and not reports[0].title.startswith(table.released):
        errors.append(f"these are not the released files of {table.released}, but {reports[0].title}")
    if errors:
        count = f"{len(errors)} error{'s' if len(errors) > 1 else ''}"
        message = f"{count} in the files of {folder}\n" + "\n".join(f"  {error}" for error in errors)
        raise missing(table, message, folder) if absent else ScanError(f"{table.title}: {message}")


def missing(table: Table, what: str, given: Path) -> ScanError:
    """The error of files that are not there: which, from where, how large, where to put them."""
    return ScanError(
        f"{table.title}: {what}\n"
        f"  needed  {', '.join(table.files)}\n"
        f"  from    {table.source}\n"
        f"  put in  {given}/{table.folder}/ (or any folder), then: make {table.target} DATA={given}\n"
        f"  to try  make {table.target} DRY=1 runs every step on generated data, without any of this"
    )
