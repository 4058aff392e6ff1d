"""Reads captions in the forms that people have them; what a file holds decides, not its name.

| form                | what is in it                                                                        |
|---------------------|--------------------------------------------------------------------------------------|
| Karpathy's JSON     | `images`, each with `filename`, `split`, `sentences` (`raw`, or `tokens` only)       |
| COCO's JSON         | `annotations` with `image_id` and `caption`, `images` with `id` and `file_name`      |
| a list in JSON      | of `{"image", "caption"}`, a string or a list; `split` where there is one            |
| a table             | CSV, TSV or `|`, with a header that names image and caption, and perhaps split       |
| Flickr's tokens     | `id#0<TAB>text`; splits of `*{train,dev,test}Images.txt` beside it                   |
| caption files       | `{split}_ids.txt`, one image a line, and `{split}_caps.txt`, as many captions each   |
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from scan_lightning.data.layouts.caption_index import STORE_SPLIT, CaptionIndex, Entry, aliases
from scan_lightning.data.layouts.caption_pairs import split_files
from scan_lightning.data.layouts.source_files import iter_lines, read_text, some
from scan_lightning.errors import ScanError

IMAGE = ("filename", "file_name", "image", "image_name", "img", "image_id", "id")
CAPTION = ("caption", "captions", "sentences", "sentence", "comment", "raw")
_SUFFIXES = (".json", ".txt", ".csv", ".tsv", ".token")
_JSON = re.compile(r'"(sentences|captions?)"\s*:\s*(["\[]|null)')
_TOKEN = re.compile(r"(.+)#\d+\t(.*)")
_FORMS = "Karpathy's or COCO's JSON, a list of image and caption, a table with a header, Flickr8k.token.txt"
Row = dict[str, Any]


def read_captions(path: Path) -> CaptionIndex:
    """Read captions and splits.

    Args:
        path: a file in one of the forms, or a folder with one; or a folder with `{split}_ids.txt` and
            `{split}_caps.txt`.

    Raises:
        ScanError: there are no captions, or damaged ones.
    """
    if path.is_file():
        return _read(path)
    if not path.is_dir():
        raise ScanError(
            f"{path}: there is no such file or folder with captions. Give {_FORMS}, or a folder with "
            "{split}_ids.txt and {split}_caps.txt, as --captions."
        )
    found = [file for file in sorted(path.iterdir()) if file.suffix in _SUFFIXES and _holds_captions(file)]
    if len(found) > 1:
        names = some([file.name for file in found])
        raise ScanError(f"{path}: holds several caption files ({names}). Choose one with --captions.")
    if found:
        return _read(found[0])
    pairs = split_files(path)
    if not pairs:
        raise ScanError(
            f"{path}: holds no captions. Expected {_FORMS}, or {{split}}_ids.txt with {{split}}_caps.txt; "
            "--captions names another place."
        )
    return CaptionIndex(path, pairs)


def _holds_captions(path: Path) -> bool:
    if not path.is_file() or path.name.endswith(("_caps.txt", "_ids.txt")):
        return False
    if path.suffix == ".json":
        return path.name.startswith("dataset") or bool(_JSON.search(read_text(path)))
    head = _head(path)
    return bool(_TOKEN.fullmatch(head) or _header(head))


def _head(path: Path) -> str:
    """The first line that is not empty."""
    with path.open("rb") as file:
        lines = file.read(4096).decode("utf-8-sig", "replace").lstrip().splitlines()
    return lines[0] if lines else ""


def _read(path: Path) -> CaptionIndex:
    head = _head(path)
    if head[:1] in ("{", "["):
        rows = _json_rows(path)
    elif _TOKEN.fullmatch(head):
        rows = _token_rows(path)
    elif delimiter := _header(head):
        rows = _table_rows(path, delimiter)
    else:
        raise ScanError(f"{path}: is no caption file; it starts with {head[:40]!r}. Expected {_FORMS}.")
    entries = _entries(path, rows)
    if any(entry.split for entry in entries):
        return CaptionIndex(path, entries)
    return _with_lists(path, entries)


def _with_lists(path: Path, entries: list[Entry]) -> CaptionIndex:
    """Images without splits, with those of `*{train,dev,test}Images.txt` beside their captions, if there."""
    lists = {
        name: STORE_SPLIT[split]
        for split in ("train", "dev", "val", "test")
        for file in sorted(path.parent.glob(f"*[._]{split}Images.txt"))
        for line in iter_lines(file)
        for name in aliases(line)
    }
    if not lists:
        return CaptionIndex(path, entries)
    found = [next((lists[name] for name in aliases(e.id) if name in lists), None) for e in entries]
    kept = [replace(entry, split=split) for entry, split in zip(entries, found, strict=True) if split]
    unlisted = found.count(None)
    notes = [f"{unlisted:,} captioned images are in no *Images.txt: left out."] if unlisted else []
    return CaptionIndex(path, kept, notes)


def _entries(path: Path, rows: Iterable[tuple[str, Row]]) -> list[Entry]:
    """Rows as images, in the order in which these appear; their fields are checked here, for every form."""
    found: dict[str, Entry] = {}
    for where, row in rows:
        field = _field(path, where, row, IMAGE, "name of the image (filename)")
        is_number = field.endswith("id") and type(row[field]) is int
        image = str(row[field]) if is_number else _text(path, where, field, row[field])
        where = f"image {image!r}"
        values = row[_field(path, where, row, CAPTION, "captions (sentences)")]
        values = values if isinstance(values, list) else [values]
        if not values:
            raise ScanError(f"{path}: {where} has no sentence. Remove it from the file.")
        captions = tuple(
            _sentence(path, f"{where}, sentence {index}", value) for index, value in enumerate(values)
        )
        split = row.get("split")
        if split is not None and STORE_SPLIT.get(_text(path, where, "split", split)) is None:
            raise ScanError(f"{path}: {where} has split {split!r}; expected {', '.join(STORE_SPLIT)}.")
        split = STORE_SPLIT[split] if split is not None else None
        before = found.get(image)
        if before and before.split != split:
            raise ScanError(f"{path}: {where} has the splits {before.split} and {split}. Correct it.")
        numbers = tuple(str(row[key]) for key in ("cocoid", "image_id", "id") if type(row.get(key)) is int)
        position = str(row["imgid"]) if type(row.get("imgid")) is int else ""
        first = before.captions if before else ()
        found[image] = Entry(image, split, (*first, *captions), numbers, position)
    entries = list(found.values())
    without = next((entry.id for entry in entries if entry.split is None), None)
    if without is not None and any(entry.split for entry in entries):
        raise ScanError(f"{path}: image {without!r} has no split, others have. Add it, or remove all.")
    return entries


def _field(path: Path, where: str, row: Row, names: Iterable[str], what: str) -> str:
    name = next((name for name in names if name in row), None)
    if name is None:
        raise ScanError(f"{path}: {where} has no {what}; it has {_names(row)}. Correct it.")
    return name


def _names(names: Iterable[str]) -> str:
    return some([repr(name)[:40] for name in names]) or "nothing"


def _sentence(path: Path, where: str, value: Any) -> str:
    """A caption: a string, or a sentence of Karpathy's."""
    if isinstance(value, dict):
        if "raw" not in value and isinstance(value.get("tokens"), list):
            return " ".join(_text(path, where, "a token", token) for token in value["tokens"])
        value = value.get("raw")
    return _text(path, where, "the caption", value).strip()


def _text(path: Path, where: str, what: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ScanError(
            f"{path}: {where}: {what} is {json.dumps(value)[:40]}; expected a string. Correct the file."
        )
    return value


def _json_rows(path: Path) -> Iterator[tuple[str, Row]]:
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise ScanError(f"{path}: is not JSON ({error}). Copy or download it again.") from error
    images: Any = content
    if isinstance(content, dict):
        images = content.get("annotations", content.get("images"))
        if "annotations" in content:
            named = [image for image in content.get("images") or [] if isinstance(image, dict)]
            by_id = {str(image.get("id")): image for image in named}
            images = [
                {**by_id.get(str(row.get("image_id")), {}), **row, "id": row.get("image_id")}
                if isinstance(row, dict)
                else row
                for row in (images if isinstance(images, list) else [])
            ]
    if not isinstance(images, list):
        raise ScanError(f"{path}: holds no images or annotations. Expected {_FORMS}.")
    for index, image in enumerate(images):
        if not isinstance(image, dict):
            raise ScanError(
                f"{path}: entry {index} is {json.dumps(image)[:40]}; expected fields. Correct it."
            )
        yield f"entry {index}", image


def _token_rows(path: Path) -> Iterator[tuple[str, Row]]:
    for number, line in enumerate(iter_lines(path), start=1):
        match = _TOKEN.fullmatch(line) or _TOKEN.fullmatch(f"{line}\t")
        if line and not match:
            raise ScanError(f"{path}: line {number} is {line[:40]!r}; expected image#number, a tab and text.")
        if match:
            yield f"line {number}", {"image": match[1], "caption": match[2]}


def _header(line: str) -> str | None:
    """The delimiter of a table whose header names an image and a caption."""
    for delimiter in ("\t", ",", "|"):
        names = [name.strip().strip('"').lower() for name in line.split(delimiter)]
        if set(names) & set(IMAGE) and set(names) & set(CAPTION):
            return delimiter
    return None


def _table_rows(path: Path, delimiter: str) -> Iterator[tuple[str, Row]]:
    lines = read_text(path).splitlines(keepends=True) if delimiter == "," else iter_lines(path)
    reader = csv.reader(
        lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE
    )
    try:
        names = [name.strip().lower() for name in next(row for row in reader if row)]
        for values in reader:
            if values:
                if len(values) < len(names):
                    raise ScanError(
                        f"{path}: line {reader.line_num} has {len(values)} columns, expected {len(names)}: "
                        f"{_names(names)}."
                    )
                last = delimiter.join(values[len(names) - 1 :])  # text that holds the delimiter
                yield (
                    f"line {reader.line_num}",
                    dict(zip(names, [*values[: len(names) - 1], last], strict=True)),
                )
    except csv.Error as error:
        raise ScanError(f"{path}: line {reader.line_num}: {error}. Is it a table?") from error
