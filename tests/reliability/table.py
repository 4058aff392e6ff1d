"""The table of docs/reliability.md, read off the tests: a row for each `@pytest.mark.fault(tried, outcome)`.

python tests/reliability/table.py     # writes it into the page
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reliability.md"
BEGIN = "<!-- made by tests/reliability/table.py -->\n"
END = "<!-- end -->\n"


def rows() -> Iterator[tuple[str, str, str]]:
    """What is tried, what happens, and the test that shows it."""
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        for item in ast.parse(file.read_text(encoding="utf-8")).body:
            if not isinstance(item, ast.FunctionDef):
                continue
            for mark in item.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.fault":
                    tried, outcome = (ast.literal_eval(argument) for argument in mark.args)
                    yield tried, outcome, f"{file.relative_to(ROOT / 'tests')}::{item.name}"


def table() -> str:
    """The table as Markdown."""
    lines = ["| what is done to it | what happens | shown by |", "|---|---|---|"]
    for tried, outcome, test in rows():
        file, name = test.split("::")
        lines.append(f"| {tried} | {outcome} | `{name}` in [{file}](../tests/{file}) |")
    return "\n".join(lines) + "\n"


def parts() -> tuple[str, str, str]:
    """The page before the table, the table in it, and what comes after."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    inside, after = rest.split(END)
    return before, inside, after


def main() -> None:
    before, _, after = parts()
    PAGE.write_text(f"{before}{BEGIN}{table()}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
