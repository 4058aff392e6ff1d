"""The doctor for a folder in the released layout: every file's state, every error at once.

A folder that holds one of the two published data sets is held against their numbers; any other has to be
consistent in itself. Either way all values are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scan_lightning.data.layouts.scan_files import SplitFiles, between_splits
from scan_lightning.data.layouts.scan_published import PUBLISHED, Published, recognise
from scan_lightning.data.layouts.scan_release import ORIGIN, find_splits, left_out
from scan_lightning.data.layouts.scan_values import value_bytes, value_errors
from scan_lightning.data.layouts.source_files import FileError, reading
from scan_lightning.progress import progress as show_progress

ENDINGS = ("ims.npy", "caps.txt", "boxes.npy", "ids.txt")


@dataclass(frozen=True)
class Finding:
    """The state of one file, or one thing that is wrong with it."""

    path: Path
    state: str  # found, missing, truncated, wrong shape, ...
    detail: str
    wrong: bool = True


@dataclass(frozen=True)
class Report:
    """What was found out about one folder."""

    title: str  # what the folder is held against
    findings: tuple[Finding, ...]  # every file in turn; one with several errors comes several times
    notes: tuple[str, ...]  # what is no error and worth knowing
    advice: str  # what to do about the errors

    @property
    def problems(self) -> int:
        """How many things are wrong."""
        return sum(finding.wrong for finding in self.findings)


def examine(root: Path, *, progress: bool = True) -> list[Report]:
    """Look at a folder in the released layout, or at one that holds `f30k_precomp` and `coco_precomp`.

    Raises:
        ScanError: no such folder, or nothing in it is like the released layout.
    """
    with reading(root):
        chosen = [(data, root / data.folder) for data in PUBLISHED if (root / data.folder).is_dir()]
        if not chosen and root.is_dir() and (published := recognise(root)) is not None:
            chosen = [(published, root)]
        if chosen:
            return [_published(data, folder, progress) for data, folder in chosen]
        return [_own(root, find_splits(root), progress)]


def _published(published: Published, folder: Path, progress: bool) -> Report:
    splits = [SplitFiles(folder, name) for name in published.images]
    inside, notes = _values(folder, splits, progress)
    findings: list[Finding] = []
    for split in splits:
        # The published numbers say all there is to say about these two; how they fit each other follows.
        files = {split.file("ims.npy"), split.file("caps.txt")}
        errors = [*published.features_errors(split), *published.captions_errors(split)]
        errors += [error for error in split.errors if error.path not in files]
        findings += _findings(split, [*errors, *inside])
    testall = [finding for finding in findings if finding.path.name.startswith("testall_")]
    if testall and not any(finding.wrong for finding in testall):
        findings = [_not_needed(finding) for finding in findings]
    vocabulary, wrong = published.find_vocabulary(folder)
    findings.append(Finding(vocabulary.path, vocabulary.state, vocabulary.detail, wrong))
    advice = f"Copy or download the files again: {ORIGIN}"
    return Report(f"{published.title}, as released", tuple(findings), tuple(notes), advice)


def _own(folder: Path, names: list[str], progress: bool) -> Report:
    splits = [SplitFiles(folder, name) for name in names]
    inside, notes = _values(folder, splits, progress)
    findings = [finding for split in splits for finding in _findings(split, [*split.errors, *inside])]
    title = "your own data in the released layout (neither of the two published data sets)"
    return Report(title, tuple(findings), tuple(notes), "Fix these files or make them again.")


def _values(folder: Path, splits: list[SplitFiles], progress: bool) -> tuple[list[FileError], list[str]]:
    """Errors in the values of all splits and between the splits that a store takes; notes of all kinds."""
    errors: list[FileError] = []
    notes = [*left_out(folder), *(note for split in splits for note in split.notes)]
    total = sum(value_bytes(split) for split in splits)
    with show_progress("reading values", total, "bytes", shown=progress and total > 0) as advance:
        for split in splits:
            own_errors, own_notes = value_errors(split, advance)
            errors += own_errors
            notes += own_notes
    # A store takes testall in the place of test, which is a part of it.
    replaced = any(split.name == "testall" and split.ids for split in splits)
    stored = [split for split in splits if not split.errors and not (replaced and split.name == "test")]
    return errors + between_splits(stored), notes


def _findings(split: SplitFiles, errors: list[FileError]) -> Iterator[Finding]:
    """The state of a split's files, given everybody's errors."""
    for ending in ENDINGS:
        path = split.file(ending)
        own = [Finding(path, error.state, error.detail) for error in errors if error.path == path]
        if own or path.exists():
            yield from own or [Finding(path, "found", _description(split, ending), wrong=False)]


def _description(split: SplitFiles, ending: str) -> str:
    array = {"ims.npy": split.features, "boxes.npy": split.boxes}.get(ending)
    if array is not None:
        older = " (the older form, five equal rows an image)" if split.stride > 1 else ""
        return f"{array.shape} {array.dtype}{older}"
    if ending == "caps.txt" and split.lines is not None:
        return f"{split.lines.count:,} captions"
    return f"{len(split.ids) * split.stride:,} ids"


def _not_needed(finding: Finding) -> Finding:
    """A missing file of `test`, where the complete `testall` is there."""
    if finding.state == "missing" and finding.path.name.startswith("test_"):
        return Finding(finding.path, "missing", "no problem: testall replaces it", wrong=False)
    return finding
