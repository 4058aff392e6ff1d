"""docs/reliability.md says what these tests show, no more and no less."""

from table import parts, rows, table


def test_the_page_is_what_the_tests_say() -> None:
    assert parts()[1] == table(), "run python tests/reliability/table.py"


def test_every_kind_of_fault_has_a_row() -> None:
    text = table()
    for word in (
        "SIGKILL at 20 random moments of a build",
        "SIGKILL at 20 random moments of a training",
        "truncated at 20 places",
        "20 random bit flips",
        "full",
        "read-only",
        "replaced under a running training",
        "SIGKILL of a process that reads",
        "two builds",
        "NaN",
        "code in it",
    ):
        assert word in text, word
    assert len({name for _, _, name in rows()}) == len(list(rows()))
