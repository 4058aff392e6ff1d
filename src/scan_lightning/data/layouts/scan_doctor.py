"""The doctor for a folder in the released layout: every file's state, every fault at once.

A folder that holds one of the two published data sets is held against their numbers; any other has to be
consistent in itself. Either way all values are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scan_lightning.data.layouts.fault import FileError, Finding, reading
from scan_lightning.data.layouts.scan_content import content_bytes, content_faults
from scan_lightning.data.layouts.scan_files import SplitFiles, between_splits
from scan_lightning.data.layouts.scan_published import PUBLISHED, Published, recognise
from scan_lightning.data.layouts.scan_release import ORIGIN, find_splits, strangers
from scan_lightning.progress import progress as show_progress

ENDINGS = ("ims.npy", "caps.txt", "boxes.npy", "ids.txt")


@dataclass(frozen=True)
class Report:
    """What was found out about one folder.

    Args:
        title: What the folder is held against.
        findings: Every file in turn; a file with several faults comes several times.
        notes: What is no fault and worth knowing.
        advice: What to do about the faults.
    """

    title: str
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    advice: str

    @property
    def faults(self) -> int:
        """How many things are wrong."""
        return sum(finding.fault for finding in self.findings)


def examine(root: Path, *, progress: bool = True) -> list[Report]:
    """Look at a folder in the released layout, or at one that holds `f30k_precomp` and `coco_precomp`.

    Args:
        root: The folder.
        progress: Show progress on stderr.

    Raises:
        ScanError: there is no such folder, or nothing in it is like the released layout.
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
    inside, notes = _content(folder, splits, progress)
    inside += _between(splits)
    findings: list[Finding] = []
    for split in splits:
        # The published numbers say all there is to say about these two; how they fit each other follows.
        files = {split.file("ims.npy"), split.file("caps.txt")}
        faults = [*published.features_faults(split), *published.captions_faults(split)]
        faults += [fault for fault in split.faults if fault.path not in files]
        findings += _findings(split, [*faults, *inside])
    if "testall" in published.images and not any(
        finding.fault for finding in findings if finding.path.name.startswith("testall_")
    ):
        findings = [_not_needed(finding) for finding in findings]
    findings.append(published.find_vocabulary(folder))
    advice = f"Copy or download the files again: {ORIGIN}"
    return Report(f"{published.title}, as released", tuple(findings), tuple(notes), advice)


def _own(folder: Path, names: list[str], progress: bool) -> Report:
    splits = [SplitFiles(folder, name) for name in names]
    inside, notes = _content(folder, splits, progress)
    inside += _between(splits)
    findings = [finding for split in splits for finding in _findings(split, [*split.faults, *inside])]
    title = "your own data in the released layout (neither of the two published data sets)"
    return Report(title, tuple(findings), tuple(notes), "Mend these files or make them again.")


def _between(splits: list[SplitFiles]) -> list[FileError]:
    """Faults between the splits that a store takes: testall in the place of test, which is a part of it."""
    whole = any(split.name == "testall" and split.ids for split in splits)
    stored = [split for split in splits if split.name != "test" or not whole]
    return between_splits([split for split in stored if not split.faults])


def _content(folder: Path, splits: list[SplitFiles], progress: bool) -> tuple[list[FileError], list[str]]:
    """Faults of what is inside all splits' arrays, and notes of all kinds."""
    faults: list[FileError] = []
    notes = [*strangers(folder), *(note for split in splits for note in split.notes)]
    total = sum(content_bytes(split) for split in splits)
    with show_progress("reading values", total, "bytes", shown=progress and total > 0) as advance:
        for split in splits:
            own_faults, own_notes = content_faults(split, advance)
            faults += own_faults
            notes += own_notes
    return faults, notes


def _findings(split: SplitFiles, faults: list[FileError]) -> Iterator[Finding]:
    """The state of a split's files, given everybody's faults."""
    for ending in ENDINGS:
        path = split.file(ending)
        own = [Finding(path, fault.state, fault.detail) for fault in faults if fault.path == path]
        if own or path.exists():
            yield from own or [Finding(path, "found", _description(split, ending), fault=False)]


def _description(split: SplitFiles, ending: str) -> str:
    array = {"ims.npy": split.features, "boxes.npy": split.boxes}.get(ending)
    if array is not None:
        older = " (the older form, five equal rows an image)" if split.stride > 1 else ""
        return f"{array.shape} {array.dtype}{older}"
    if ending == "caps.txt" and split.lines is not None:
        return f"{split.lines.count:,} captions"
    return f"{len(split.ids) * split.stride:,} ids"


def _not_needed(finding: Finding) -> Finding:
    """A missing file of `test`, where the whole `testall` is there."""
    if finding.state == "missing" and finding.path.name.startswith("test_"):
        return Finding(finding.path, "missing", "no fault: testall replaces it", fault=False)
    return finding
