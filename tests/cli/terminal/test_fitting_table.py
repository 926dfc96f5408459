import io

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from simclip.cli.terminal.fitting_table import FittingTable, fitted_line, shortened
from simclip.cli.wording.table import Cell, Column, Row, Table

TABLE = FittingTable(
    Table(
        [
            Column("name", min_width=8),
            Column("figure", right=True),
            Column("little", priority=2),
            Column("some", priority=1),
        ],
        [
            Row([Cell("a-rather-long-name"), Cell("1.0"), Cell("x"), Cell("x")]),
            Row([Cell("[bold]b"), Cell("22.0"), Cell("y"), Cell("y")]),
        ],
    )
)


def printed(renderable, width):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(renderable)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_all_columns_where_there_is_width():
    assert printed(TABLE, 80) == [
        "name                figure  little  some",
        "────────────────────────────────────────",
        "a-rather-long-name     1.0  x       x",
        "[bold]b               22.0  y       y",
    ]


def test_the_name_gives_way_first_then_the_least_important_columns():
    assert printed(TABLE, 32)[2] == "a-rat…name     1.0  x       x"
    assert printed(TABLE, 22)[2] == "a-ra…ame     1.0  x"
    assert printed(TABLE, 17)[2:] == ["a-ra…name     1.0", "[bold]b      22.0"]


@given(st.integers(12, 80))
def test_no_line_is_wider_than_asked_for(width):
    lines = printed(TABLE, width)
    assert len(lines) == 4
    assert all(cell_len(line) <= width for line in lines)


@given(st.text("ab-あ", max_size=30), st.integers(1, 30))
def test_shortened_text_fits_and_keeps_both_ends(text, width):
    short = shortened(Text(text), width)
    assert short.cell_len <= width
    assert (short.plain == text) == (cell_len(text) <= width)
    if text.isascii() and len(text) > width > 2:
        head, tail = short.plain.split("…")
        assert text.startswith(head) and text.endswith(tail) and 0 <= len(head) - len(tail) <= 1


def test_names_that_differ_look_different_before_another_column_is_left_out():
    names = ["clusters-k4-nb1-p1-warm-skip0-hard0.25", "clusters-k4-nb1-p0-fixed-skip0-hard0.25"]
    columns = [Column("arm", min_width=12), Column("score", right=True), Column("epochs", priority=1)]
    table = FittingTable(Table(columns, [Row([Cell(name), Cell("1.0"), Cell("5")]) for name in names]))
    for width in range(24, 60):
        lines = printed(table, width)
        assert lines[2].split()[0] != lines[3].split()[0] and max(map(len, lines)) <= width
    assert "epochs" in printed(table, 32)[0] and "epochs" not in printed(table, 31)[0]
    assert max(map(len, printed(table, 15))) <= 15  # too narrow for both


def test_a_line_leaves_out_pieces_by_rank_and_empty_ones():
    pieces = [(2, Text("late")), (0, Text("stays")), (1, Text("")), (1, Text("soon"))]
    first = Text("a-rather-long-name")
    assert fitted_line(first, pieces, 80).plain == "a-rather-long-name  late  stays  soon"
    assert fitted_line(first, pieces, 24).plain == "a-rat…-name  stays  soon"
    assert fitted_line(first, pieces, 18).plain == "a-rat…-name  stays"


def test_headings_break_and_only_shown_columns_are_explained():
    table = Table(
        [Column("val/\ntop1 %", right=True), Column("vs \ncontrol", priority=1, note="vs control: the difference.")],
        [Row([Cell("1"), Cell("2")], Cell("★")), Row([Cell("3"), Cell()], separate=True)],
        caption="All arms.",
    )
    assert printed(FittingTable(table), 30) == [
        "      val  vs",
        "   top1 %  control",
        "──────────────────",
        "★       1  2",
        "",
        "        3",
        "",
        "All arms. vs control: the",
        "difference.",
    ]
    assert printed(FittingTable(table), 10)[-1] == "All arms."
