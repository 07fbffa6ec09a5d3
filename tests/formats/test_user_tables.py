"""Whoever wrote a table, its rows are the same, or what differs is told."""

import io
import math
import unicodedata
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pseudorca.errors import TableError
from pseudorca.formats.user_tables import UserTable, numbers_of, read_user_table

COLUMNS = ("path", "label", "depth", "note")
DELIMITERS = {";": "semicolons", ",": "commas", "\t": "tabs", "|": "bars"}
UNICODE = {"utf-8": "UTF-8", "utf-8-sig": "UTF-8", "utf-16": "UTF-16", "utf-16-le": "UTF-16",
           "utf-16-be": "UTF-16", "utf-32": "UTF-32"}  # fmt: skip
CODE_PAGES = {"cp1252": "Windows-1252", "mac_roman": "Mac Roman", "cp850": "DOS 850"}
LINE_ENDS = ("\n", "\r\n", "\r", "\r\r\n")

WORDS = ("Kühn", "Köln", "Québec", "Tromsø", "señal", "débil", "schön")
"""No code page makes another word of letters of these."""
ANYWHERE = ("Lanaʻi", "Kā‘ū", "Авача", "苫小牧", "Insular", "NA", "none")
NOTES = (
    "",
    "faint",
    '"whistle?',
    '"burst"?',
    'burst"',
    'a "loud" one',
    '5" mark',
    '"',
    "it's",
    "-",
)


@dataclass(frozen=True)
class Writing:
    """How somebody writes a table."""

    delimiter: str = ","
    encoding: str = "utf-8"
    quoting: str = "minimal"
    comma: bool = False
    line_end: str = "\n"
    says_sep: bool = False
    blank: str = ""
    """What stands between rows; empty: nothing."""
    ends_last_line: bool = True

    def cell(self, text: str) -> str:
        is_odd = any(sign in text for sign in (self.delimiter, '"', "\n", "\r"))
        if self.quoting == "none" or (self.quoting != "all" and not is_odd):
            return text
        inside = text.replace('"', r"\"" if self.quoting == "backslash" else '""')
        return f'"{inside}"'

    def write(self, rows: list[tuple[str, ...]], columns: tuple[str, ...] = COLUMNS) -> bytes:
        lines = [self.delimiter.join(map(self.cell, row)) for row in (columns, *rows)]
        if self.says_sep:
            lines.insert(0, f"sep={self.delimiter}")
        between = self.line_end
        if self.blank:
            blank = self.delimiter * 3 if self.blank == "delimiters" else self.blank
            between += blank + self.line_end
        text = between.join(lines) + self.line_end * self.ends_last_line
        return text.encode(self.encoding)

    def number(self, value: float) -> str:
        return str(value).replace(".", "," if self.comma else ".")


def writings(**fixed: Any) -> st.SearchStrategy[Writing]:
    options: dict[str, st.SearchStrategy[Any]] = {
        "delimiter": st.sampled_from([*DELIMITERS]),
        "encoding": st.sampled_from([*UNICODE, *CODE_PAGES]),
        "quoting": st.sampled_from(["minimal", "all", "backslash", "none"]),
        "comma": st.booleans(),
        "line_end": st.sampled_from(LINE_ENDS),
        "says_sep": st.booleans(),
        "blank": st.sampled_from(["", " ", "\t ", "delimiters"]),
        "ends_last_line": st.booleans(),
    }
    return st.builds(Writing, **(options | {name: st.just(value) for name, value in fixed.items()}))


@st.composite
def tables(draw: Any, how: Writing) -> list[tuple[str, ...]]:
    """Rows that this writing can hold."""
    words = st.sampled_from([*WORDS, *(ANYWHERE if how.encoding in UNICODE else ())])
    notes = st.sampled_from(NOTES)
    free = st.text(st.sampled_from([*'ab ";,\t|\n\\', "é"]), max_size=12)
    rows = []
    for k in range(draw(st.integers(1, 6))):
        note = draw(st.one_of(notes, free, words))
        comma = how.comma and (how.quoting != "none" or how.delimiter != ",")
        depth = replace(how, comma=comma).number(
            draw(st.integers(-99, 99)) + draw(st.sampled_from([0.5, 0.25, 0.0625]))
        )
        row = [f"{draw(words)}/{k}.wav", draw(words), depth, note]
        if how.quoting == "backslash":
            row = [cell.replace("\\", "/") for cell in row]
        if how.quoting == "none":
            for sign in (how.delimiter, "\n", "\r"):
                row = [cell.replace(sign, "_") for cell in row]
            # what begins and ends with a quote is in quotes, whoever wrote it
            row = [f"{cell}_" if cell.strip().endswith('"') else cell for cell in row]
        rows.append(tuple(row))
    return rows


def shown(rows: list[tuple[str, ...]]) -> list[list[str]]:
    """The cells as a reader gives them: without blanks around, and composed."""
    return [[unicodedata.normalize("NFC", cell).strip() for cell in row] for row in rows]


def cells(table: UserTable) -> list[list[str]]:
    return table.cells.to_numpy().tolist()


def is_told(table: UserTable) -> bool:
    return len(table.notices) > 1 or bool(table.broken or table.short)


@settings(max_examples=600, deadline=None)
@given(data=st.data(), how=writings())
def test_rows_are_the_same_or_it_is_told(data: st.DataObject, how: Writing) -> None:
    rows = data.draw(tables(how))
    try:
        written = how.write(rows)
    except UnicodeEncodeError:
        return
    table = read_user_table("a.csv", written)
    if cells(table) != shown(rows):
        assert is_told(table), (how, rows, cells(table))
        return
    assert table.cells.columns.tolist() == [*COLUMNS]
    assert np.allclose(table.numbers("depth"), [float(row[2].replace(",", ".")) for row in rows])


@settings(max_examples=300, deadline=None)
@given(data=st.data(), how=writings(quoting="all", line_end="\n"))
def test_a_table_with_every_cell_in_quotes_is_read_whole(data: st.DataObject, how: Writing) -> None:
    rows = [row for row in data.draw(tables(how)) if "\n" not in row[3] and "\\" not in row[3]]
    assert cells(read_user_table("a.csv", how.write(rows))) == shown(rows)


@pytest.mark.parametrize("encoding", [*UNICODE, *CODE_PAGES])
@pytest.mark.parametrize("delimiter", DELIMITERS)
def test_what_a_file_was_taken_for_is_one_line(delimiter: str, encoding: str) -> None:
    how = Writing(delimiter, encoding)
    table = read_user_table("/somewhere/a.csv", how.write([("x.wav", "Köln", "1.5", "ñandú")] * 3))
    assert len(table.notices) == 1
    said = table.notices[0]
    assert said.startswith(f"a.csv: {DELIMITERS[delimiter]}, {(UNICODE | CODE_PAGES)[encoding]}")
    assert ("Köln" in said) == (encoding in CODE_PAGES)


@pytest.mark.parametrize("encoding", CODE_PAGES)
@pytest.mark.parametrize("word", WORDS)
def test_code_pages_are_told_apart_by_a_single_word(word: str, encoding: str) -> None:
    assert cells(read_user_table("a.csv", f"path,label\nx.wav,{word}\n".encode(encoding))) == [
        ["x.wav", word]
    ]


@pytest.mark.parametrize(
    "text",
    ["Lana’i", "21°C", "“burst”", "didn’t – faint", "Maui–Lanai", "¿silbo?", "burst…", "CAFÉ"],
)
def test_signs_of_windows_are_no_letters_of_the_mac(text: str) -> None:
    assert cells(read_user_table("a.csv", f"path,note\nx,{text}\n".encode("cp1252")))[0][1] == text


def test_cyrillic_of_windows_is_read() -> None:
    data = "path;label\nx.wav;Авача\ny.wav;Командоры\n".encode("cp1251")
    assert cells(read_user_table("a.csv", data)) == [["x.wav", "Авача"], ["y.wav", "Командоры"]]


def test_lines_of_two_programs_are_each_read_in_their_encoding() -> None:
    data = b"path,label\n" + "x,Kühn\n".encode() + "y,Köln\n".encode("cp1252")
    table = read_user_table("a.csv", data)
    assert cells(table) == [["x", "Kühn"], ["y", "Köln"]]
    assert "mixed" in table.notices[0]


NOTE_TABLE = "path,label,note\na,I,{}\nb,P,faint\nc,I,{}\nd,P,\n"


@pytest.mark.parametrize("first", ['"whistle?', '"', '"a" b', '"x""'])
@pytest.mark.parametrize("third", ['"burst"?', 'burst"', '"', 'a "b"', '""'])
def test_a_note_that_begins_with_a_quote_swallows_no_row(first: str, third: str) -> None:
    table = read_user_table("a.csv", NOTE_TABLE.format(first, third).encode())
    assert table.cells["path"].tolist() == ["a", "b", "c", "d"]
    assert table.cells["label"].tolist() == ["I", "P", "I", "P"]
    assert table.cells.index.tolist() == [2, 3, 4, 5]


def test_a_quote_that_could_be_of_one_cell_or_of_two_is_told() -> None:
    table = read_user_table("a.csv", NOTE_TABLE.format('"whistle?', 'burst"').encode())
    assert len(table.cells) == 4
    assert is_told(table)


def test_a_cell_over_several_lines_is_one_cell_and_told() -> None:
    table = read_user_table("a.csv", b'path,note,label\na,"one\ntwo, three",I\nb,,P\n')
    assert cells(table) == [["a", "one\ntwo, three", "I"], ["b", "", "P"]]
    assert table.cells.index.tolist() == [2, 4]
    assert is_told(table)


def test_rows_of_another_length_are_told_and_the_others_used() -> None:
    table = read_user_table("a.csv", b"path,label,note\na,I,x\nb,P,x,y\nc,I\nd,P,x,,\ne,P")
    assert [*table.broken] == [3, 6]
    assert [*table.short] == [4]
    assert table.whole["path"].tolist() == ["a", "c", "d"]
    assert table.whole["note"].tolist() == ["x", "", "x"]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("Sightings of 2017\n\npath,label\nx,I\n", [["x", "I"]]),
        ('"","path","label"\n"1","x","I"\n"2","y","P"\n', [["1", "x", "I"], ["2", "y", "P"]]),
        ('"path","label"\n"1","x","I"\n"2","y","P"\n', [["1", "x", "I"], ["2", "y", "P"]]),
        ("path,label,,\nx,I,,\n,,,\ny,P,,\n", [["x", "I"], ["y", "P"]]),
        ("path,,label\nx,,I\n", [["x", "I"]]),
        ("path;label\r\nx;I\r\n\x1a", [["x", "I"]]),
        ("path\nx\ny\n", [["x"], ["y"]]),
        ("path,label\n", []),
        ('path;"place (lat, lon)"\nx;"21,5, -157,8"\n', [["x", "21,5, -157,8"]]),
        ('"sep=;"\npath;label\nx;I\n', [["x", "I"]]),
        (r'path,label' '\n' r'"C:\data\",I' '\n' r'"say \"hi\", \\",P' '\n',
         [["C:\\data\\", "I"], ['say "hi", \\\\', "P"]]),
    ],
)  # fmt: skip
def test_habits_of_programs_are_known(text: str, rows: list[list[str]]) -> None:
    assert cells(read_user_table("a.csv", text.encode())) == rows


@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(
        st.one_of(
            st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda x: round(x, 6)),
            st.integers(-999, 999).map(float),
        ),
        min_size=1,
    ),
    digits=st.integers(1, 6),
)
def test_decimal_commas_are_points_or_no_numbers(values: list[float], digits: int) -> None:
    points = pd.Series([f"{value:.{digits}f}" for value in values])
    commas = points.str.replace(".", ",")
    expected = points.astype(float).to_numpy()
    assert np.array_equal(numbers_of(points), expected)
    assert np.array_equal(numbers_of(commas, is_comma_decimal=True), expected)
    found = numbers_of(commas).to_numpy()
    assert all(a == b or math.isnan(a) for a, b in zip(found, expected, strict=True))
    if digits != 3:
        assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["1.234,5", "1.234"], [1234.5, None]),
        (["1,234.5", "1,234", "0.5"], [1234.5, 1234.0, 0.5]),
        (["1,234,567", "1.234.567"], [1234567.0, 1234567.0]),
        (["1 234,5", "12 345"], [1234.5, 12345.0]),
        (["−0.5", "+3", "1e3", "1,5e3"], [-0.5, 3.0, 1000.0, 1500.0]),
        (["12,125"], [None]),
        (["12.125"], [12.125]),
        (["", "NA", "many", "1,2,3"], [None] * 4),
    ],
)
def test_numbers_that_could_be_two_are_none(texts: list[str], numbers: list[float | None]) -> None:
    found = numbers_of(pd.Series(texts))
    assert [None if math.isnan(value) else value for value in found] == numbers


def test_a_table_tells_what_a_column_cannot() -> None:
    data = b"begin\tend\n12,125\t0,5\n"
    assert read_user_table("a.txt", data).numbers("begin").tolist() == [12.125]
    assert math.isnan(
        read_user_table("a.csv", b'begin,end\n"12,125",0.5\n').numbers("begin").iloc[0]
    )


def test_missing_is_what_is_said_to_be() -> None:
    data = b"path,label\nx,NA\ny,None\nz,\n"
    assert read_user_table("a.csv", data).cells["label"].tolist() == ["NA", "None", ""]
    table = read_user_table("a.csv", data, missing=("NA",))
    assert table.cells["label"].tolist() == ["", "None", ""]


def test_the_apostrophe_that_guards_a_cell_from_excel_is_taken_off() -> None:
    table = read_user_table("a.csv", b"path\n'=x.wav\n''=x.wav\n'x.wav\n'-y\n")
    assert table.cells["path"].tolist() == ["=x.wav", "'=x.wav", "'x.wav", "-y"]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "no table"),
        (b"\n \n;;\n", "no table"),
        (b"path,Path\nx,y\n", "two columns"),
        (b"\xd0\xcf\x11\xe0rest", "Office"),
        (b"PK\x03\x04rest", "packed"),
        (b"PK\x03\x04xl/rest", "workbook"),
        ("path,label\n".encode("utf-16") + b"x", "UTF-16"),
        (b"a\0b\0\0\0\0cd,", "0"),
    ],
)
def test_what_is_no_table_is_an_error(data: bytes, what: str) -> None:
    with pytest.raises(TableError, match=what):
        read_user_table("a.csv", data)


def workbook(*sheets: list[list[Any]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for rows in sheets:
        sheet = book.create_sheet()
        for row in rows:
            sheet.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def test_a_workbook_is_its_first_sheet_with_text() -> None:
    rows = [["Sightings"], [], ["path", "label", "depth", "n"], ["x", "Lanaʻi", 1.5, 3], [],
            ["y", None, -2.0, True]]  # fmt: skip
    table = read_user_table("a.xlsx", workbook([], rows, [["other"]]))
    assert cells(table) == [["x", "Lanaʻi", "1.5", "3"], ["y", "", "-2", "TRUE"]]
    assert table.cells.index.tolist() == [4, 6]
    assert is_told(table)


def test_without_openpyxl_a_workbook_is_to_be_saved_as_csv(monkeypatch: pytest.MonkeyPatch) -> None:
    data = workbook([["path"], ["x"]])
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    with pytest.raises(TableError, match="CSV"):
        read_user_table("a.xlsx", data)
