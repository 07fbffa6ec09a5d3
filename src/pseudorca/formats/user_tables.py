"""Tables that users bring: CSV of any kind, and Excel workbooks.

In: a file as a spreadsheet, R, Raven or a person wrote it. Out: all cells as text, by the line of the
file. Delimiter, encoding, quotes and decimal commas are found out, and told in one line. A row that
does not fit is told; no row is dropped or joined to another in silence.
"""

import datetime
import io
import os
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd

from pseudorca.errors import TableError
from pseudorca.formats.whole import unguarded
from pseudorca.values import nfc, plural

_DELIMITERS = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas"}
"""The delimiters that are tried. At a tie the first wins: commas stand in prose, too."""

_CODE_PAGES = {"cp1252": "Windows-1252", "mac_roman": "Mac Roman", "cp850": "DOS 850",
               "cp1250": "Windows-1250", "cp1251": "Windows-1251"}  # fmt: skip
"""What a file that is not Unicode is tried as. At a tie the first wins."""

_MARKS = {b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xef\xbb\xbf": "utf-8-sig",
          b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}  # fmt: skip
_OTHER_FILES = {b"\xd0\xcf\x11\xe0": "an old or encrypted Office file", b"PK\x03\x04": "a packed file",
                b"\x1f\x8b": "a packed file", b"PAR1": "a Parquet file", b"%PDF": "a PDF"}  # fmt: skip

_RARE = {"cp1252": 0.0, "mac_roman": 0.5, "cp850": 0.5}  # others: 1
_LETTERS = dict.fromkeys("éèöüäßñóáíçåøæ", 0.05) | dict.fromkeys("àâêëîïôûùúãõìòœ", 0.3)
_SIGNS = frozenset("’‘“”„‚–—°µ…€±²³½×·«»§©®\xa0´")
_WORD, _STRANGE = re.compile(r"[^\W\d_]+"), re.compile(r"[^\x00-\x7f]")

_SAMPLE_LINES, _SAMPLE_BYTES, _MOST_LINES_OF_A_CELL = 400, 1 << 17, 100
_BLANK = re.compile(r'(\s|"")*')
_DECIMAL = re.compile(r"[+-]?\d*[.,]\d+(e[+-]?\d+)?", re.IGNORECASE)
_UNCLEAR = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")
_GROUPED = {
    re.compile(r"([+-]?\d{1,3}(?:\.\d{3})+),(\d+)"): ",",
    re.compile(r"([+-]?\d{1,3}(?:,\d{3})+)\.(\d+)"): ".",
    re.compile(r"([+-]?\d{1,3}(?:,\d{3}){2,})()"): ".",
    re.compile(r"([+-]?\d{1,3}(?:\.\d{3}){2,})()"): ",",
}
"""Numbers whose thousands are parted, and the decimal sign that they leave."""


@dataclass(frozen=True, eq=False)
class UserTable:
    """A table as a user brought it.

    Examples
    --------
    >>> cells = pd.DataFrame({"depth": ["0,5", "12,125"]}, index=[2, 3])
    >>> UserTable("a.csv", cells, {}, {}, ["a.csv: semicolons, UTF-8."], True).numbers("depth").tolist()
    [0.5, 12.125]
    """

    name: str
    cells: pd.DataFrame
    """Text; the index is the line of the file on which a row begins. No cell is null."""
    broken: dict[int, str]
    """Lines whose cells may stand in the wrong column, and why."""
    short: dict[int, str]
    """Lines with fewer cells than the header; the others are empty."""
    notices: list[str]
    """What the file was taken for, and what was odd in it."""
    is_comma_decimal: bool
    """Whether 12,125 is a little more than twelve, where nothing else in a column tells."""

    def numbers(self, column: str) -> pd.Series:
        """Read a column as numbers; NaN where a cell is none, or cannot be told (``12,125``).

        Parameters
        ----------
        column : str

        Returns
        -------
        Series of float64 with the index of ``cells``
        """
        return numbers_of(self.cells[column], is_comma_decimal=self.is_comma_decimal)

    @property
    def whole(self) -> pd.DataFrame:
        """The rows whose cells stand where they belong."""
        return self.cells.drop(index=list(self.broken))

    def rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """The rows of :attr:`whole` by their lines."""
        whole = self.whole
        names = [str(name) for name in whole.columns]
        for line, cells in zip(whole.index.tolist(), whole.to_numpy().tolist(), strict=True):
            yield line, dict(zip(names, cells, strict=True))


def read_user_table(
    source: str | os.PathLike[str],
    data: bytes | None = None,
    *,
    names: Sequence[str] | None = None,
    missing: Sequence[str] = (),
) -> UserTable:
    """Read a table that a user brings.

    Commas, semicolons, tabs or bars; a line ``sep=;``; UTF-8, UTF-16 or UTF-32, with or without mark,
    Windows, Mac and DOS code pages; any line ends; blank rows, lines of a title and blank columns are
    passed over. A quotation mark begins a quoted cell only if a second one ends it before a delimiter.
    A workbook needs openpyxl.

    Parameters
    ----------
    source : path or address, for messages and for the kind of the file
    data : bytes or None, the content; None: the file is read
    names : sequence of str or None, the columns of a table without a header
    missing : cells of these texts count as empty

    Returns
    -------
    UserTable

    Raises
    ------
    TableError
        If the file cannot be read, is empty or no table, or two columns have one name.

    Examples
    --------
    >>> table = read_user_table("a.csv", "path;site\\nx.wav;Kā‘ū\\n".encode("utf-16"))
    >>> table.cells.to_dict("index"), table.notices
    ({2: {'path': 'x.wav', 'site': 'Kā‘ū'}}, ['a.csv: semicolons, UTF-16.'])
    """
    if data is None:
        try:
            data = Path(source).read_bytes()
        except OSError as error:
            raise TableError(
                f"{source} cannot be read as a table: {error.strerror or error}."
            ) from error
    if data.startswith(b"PK\x03\x04") and b"xl/" in data:
        rows, notices = _workbook_rows(str(source), data)
        taken_for, is_comma_decimal = "Excel workbook", False
    else:
        text, encoding = _decoded(str(source), data)
        lines = re.split(r"\r\n|\n|\r", text)
        first, delimiter = _dialect(lines)
        rows, notices = _text_rows(lines, first, delimiter, None if names is None else len(names))
        taken_for = f"{_DELIMITERS.get(delimiter, repr(delimiter))}, {encoding}"
        is_comma_decimal = delimiter != ","
    table = _table(str(source), rows, names, missing)
    signs = _decimal_signs(cell for _, column in table.cells.items() for cell in column)
    is_comma_decimal = ("," in signs and "." not in signs) or (is_comma_decimal and not signs)
    taken_for += ", decimal commas" if "," in signs else ""
    title = PurePath(str(source)).name
    said = [f"{title}: {taken_for}.", *(f"{title}: {notice}" for notice in notices)]
    if table.short:
        said.append(
            f"{title}: {plural(len(table.short), 'row')} with fewer cells than the header (line "
            f"{_listed(table.short)}); the missing ones count as empty."
        )
    return UserTable(str(source), table.cells, table.broken, table.short, said, is_comma_decimal)


def numbers_of(texts: pd.Series, *, is_comma_decimal: bool = False) -> pd.Series:
    """Read texts as numbers, with decimal points or commas; NaN where a text is none.

    A comma before exactly three digits (``12,125``) is read by the other cells of the column: decimal
    if one of them has a comma that can be nothing else, a thousand if one has a decimal point.

    Parameters
    ----------
    texts : Series of str
    is_comma_decimal : bool, how ``12,125`` is read where no other cell tells

    Returns
    -------
    Series of float64

    Examples
    --------
    >>> numbers_of(pd.Series(["0,5", "12,125", "1.234,5", "", "many"])).tolist()
    [0.5, 12.125, 1234.5, nan, nan]
    >>> numbers_of(pd.Series(["12,125"])).tolist(), numbers_of(pd.Series(["12,125", "0.5"])).tolist()
    ([nan], [12125.0, 0.5])
    """
    clean = [re.sub(r"(?<=\d)\s(?=\d{3}(?!\d))", "", t.strip()) for t in texts.astype(str)]
    clean = [text.replace("−", "-") for text in clean]
    signs = _decimal_signs(clean)
    is_comma = signs == {","} or (is_comma_decimal and not signs - {"12.125"})
    is_point = "," not in signs and ("." in signs or not is_comma_decimal)

    def pointed(text: str) -> str:
        if _UNCLEAR.fullmatch(text):
            if "," in text:
                return text.replace(",", "." if is_comma else "" if signs >= {"."} else "?")
            return text if is_point else "?"
        if _DECIMAL.fullmatch(text):
            return text.replace(",", ".")
        for grouped in _GROUPED:
            if match := grouped.fullmatch(text):
                return re.sub(r"[.,]", "", match[1]) + "." + match[2]
        return text

    numbers = pd.to_numeric(pd.Series([pointed(t) for t in clean], dtype=object), errors="coerce")
    return pd.Series(numbers.to_numpy(np.float64), index=texts.index)


def _decimal_signs(cells: Iterable[str]) -> set[str]:
    """The signs that can only be decimal, ``12.125`` for a point that could part thousands."""
    found = set()
    for cell in cells:
        if "," not in cell and "." not in cell:
            continue
        if _DECIMAL.fullmatch(cell):
            sign = "," if "," in cell else "."
            if not _UNCLEAR.fullmatch(cell):
                found.add(sign)
            elif sign == ".":
                found.add("12.125")
        found |= {sign for grouped, sign in _GROUPED.items() if grouped.fullmatch(cell)}
    return found


def _listed(lines: Any, most: int = 5) -> str:
    shown = [str(line) for line in lines]
    return ", ".join(shown[:most]) + (", ..." if len(shown) > most else "")


@dataclass(frozen=True)
class _Row:
    line: int
    cells: list[str]
    n_lines: int = 1
    is_torn: bool = False
    """Whether the file ends inside this row."""


@dataclass(frozen=True)
class _Cells:
    cells: pd.DataFrame
    broken: dict[int, str]
    short: dict[int, str]


def _table(
    source: str, rows: list[_Row], names: Sequence[str] | None, missing: Sequence[str]
) -> _Cells:
    """Give rows their columns."""
    if not rows:
        raise TableError(f"{source} holds no table: it has no line with text.")
    header = [*names] if names is not None else [nfc(name) for name in rows[0].cells]
    body = rows if names is not None else rows[1:]
    if body and all(
        len(row.cells) == len(header) + 1 and row.cells[0] == str(k)
        for k, row in enumerate(body, 1)
    ):
        header = ["", *header]  # R numbers the rows, and gives the numbers no name
    while header and not header[-1]:
        header.pop()
    filled = max((k for row in body for k, cell in enumerate(row.cells, 1) if cell), default=0)
    if body and filled > len(header) and len({len(row.cells) for row in rows}) == 1:
        header += [""] * (filled - len(header))  # columns with text and without a name
    unnamed = [f"column {k}" for k, name in enumerate(header, 1) if not name]
    header = [name or f"column {k}" for k, name in enumerate(header, 1)]
    folded = Counter(name.casefold() for name in header)
    if twice := [name for name in header if folded[name.casefold()] > 1]:
        raise TableError(f"{source} has two columns of one name, {twice[0]!r}. Rename one.")
    broken: dict[int, str] = {}
    short: dict[int, str] = {}
    cells = []
    for row in body:
        n = len(row.cells)
        while n > len(header) and not row.cells[n - 1]:
            n -= 1
        if n != len(header):
            why = f"{n} cells, the header has {len(header)}"
            if row.is_torn:
                why += ", and the file ends here"
            (broken if n > len(header) or row.is_torn else short)[row.line] = why
        kept = [nfc(unguarded(c) if c.startswith("'") else c) for c in row.cells[: len(header)]]
        kept += [""] * (len(header) - len(kept))
        cells.append(["" if cell in missing else cell for cell in kept] if missing else kept)
    index = pd.Index([row.line for row in body], name="line", dtype=np.int64)
    frame = pd.DataFrame(cells, index, header, dtype=object)
    empty = [name for name in unnamed if not frame[name].any()]
    return _Cells(frame.drop(columns=empty), broken, short)


def _workbook_rows(source: str, data: bytes) -> tuple[list[_Row], list[str]]:
    """The rows of the first sheet with text, and what was odd."""
    try:
        import openpyxl
    except ImportError as error:
        raise TableError(
            f"{source} is an Excel workbook, and openpyxl is not installed. Save the sheet as CSV "
            "(UTF-8), or: pip install 'pseudorca[excel]'"
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(io.BytesIO(data), data_only=True)
    except Exception as error:  # openpyxl raises whatever zip files and XML raise
        raise TableError(
            f"{source} cannot be read as an Excel workbook: {error}. Save the sheet as CSV (UTF-8)."
        ) from error
    sheets: dict[str, list[_Row]] = {}
    for sheet in book.worksheets:
        cells = [[_cell_text(value) for value in row] for row in sheet.iter_rows(values_only=True)]
        rows = [_Row(k, row) for k, row in enumerate(cells, 1) if any(row)]
        while len(rows) > 1 and sum(map(bool, rows[0].cells)) < 2 <= sum(map(bool, rows[1].cells)):
            del rows[0]
        if rows:
            sheets[sheet.title] = rows
    if not sheets:
        return [], []
    first, *others = sheets
    told = f"only the sheet {first!r} is read, not {', '.join(map(repr, others))}."
    return sheets[first], [told] if others else []


def _cell_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return unicodedata.normalize("NFC", str(value)).strip()


# Encoding


def _decoded(source: str, data: bytes) -> tuple[str, str]:
    """Text, and the name of its encoding."""
    for magic, what in _OTHER_FILES.items():
        if data.startswith(magic):
            raise TableError(f"{source} is {what}. Save the table as CSV (UTF-8), or as .xlsx.")
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "")
    shown = encoding.removesuffix("-sig").upper()
    if encoding == "utf-8-sig":
        data, encoding = data[3:], ""
    if not encoding and (half := len(data) // 2):
        zeros = [data[offset : 2 * half : 2].count(0) / half for offset in (0, 1)]
        if max(zeros) > 0.2 and min(zeros) < 0.05:  # of each character of ASCII one byte is 0
            encoding, shown = "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be", "UTF-16"
    if encoding:
        try:
            return _clean(data.decode(encoding)), shown
        except UnicodeDecodeError as error:
            raise TableError(
                f"{source} begins as {shown} and is not: {error.reason} at byte {error.start}. It may "
                "be cut off. Save it again."
            ) from error
    if b"\0" in data:
        raise TableError(
            f"{source} is no text: it holds bytes of 0. Save the table as CSV (UTF-8)."
        )
    try:
        return _clean(data.decode("utf-8")), "UTF-8"
    except UnicodeDecodeError:
        return _by_lines(data)


def _by_lines(data: bytes) -> tuple[str, str]:
    """Text of lines of which some are of a code page, and others perhaps of UTF-8."""
    lines: list[bytes | str] = []
    for line in data.split(b"\n"):
        try:
            lines.append(line.decode("utf-8"))
        except UnicodeDecodeError:
            lines.append(line)
    odd = b"\n".join(line for line in lines if isinstance(line, bytes))
    page = min(_CODE_PAGES, key=lambda page: _oddness(odd, page) + _RARE.get(page, 1.0))
    texts = [line if isinstance(line, str) else line.decode(page, "replace") for line in lines]
    word = next((w for w in _WORD.findall(odd.decode(page, "replace")) if not w.isascii()), "")
    shown = _CODE_PAGES[page] + (f" (such as {word})" if word else "")
    if any(isinstance(line, str) and not line.isascii() for line in lines):
        shown = f"UTF-8 and {shown} mixed"
    return _clean("\n".join(texts)), shown


def _oddness(data: bytes, page: str) -> float:
    """How unlike words a text is if it is read by a code page."""
    try:
        text = data.decode(page)[:_SAMPLE_BYTES]
    except UnicodeDecodeError:
        return np.inf
    odd = 0.0
    for word in set(_WORD.findall(text)):
        strange = _STRANGE.findall(word)
        if not strange:
            continue
        scripts = {unicodedata.name(letter, "?").split(" ")[0] for letter in word}
        if scripts == {"CYRILLIC"}:
            odd += 0.2
        else:
            odd += sum(_LETTERS.get(letter.lower(), 1.0) for letter in strange)
            odd += 3 * (len(scripts) > 1) + 2 * max(0, len(strange) - 2)
        odd += 3 * (not (word.islower() or word.isupper() or word.istitle())) + (len(word) < 2)
    for match in _STRANGE.finditer(text):
        sign, before, after = match[0], text[: match.start()][-1:], text[match.end() :][:1]
        if not sign.isalpha():
            odd += _oddness_of_sign(sign, before, after)
    return odd


def _oddness_of_sign(sign: str, before: str, after: str) -> float:
    if sign in "¿¡" and after.isalpha() and not before.isalnum():
        return 0.02
    if sign not in _SIGNS:
        return 2.0
    if sign in "…€" and after.isalpha():
        return 1.02
    if before.isalpha() and (after.isalpha() or not after.isascii()) and sign != "’":
        return 0.3 if sign == "\xa0" else 1.02
    return 0.02


def _clean(text: str) -> str:
    """Compose accents, and leave out what has no width, and what ended files of DOS."""
    text = text.replace("\ufeff", "").replace("\u200b", "").rstrip("\x1a")
    return unicodedata.normalize("NFC", text)


# Lines


def _dialect(lines: list[str]) -> tuple[int, str]:
    """The line of the header (from 0), and the delimiter."""
    first = next((k for k, line in enumerate(lines) if line.strip()), len(lines))
    if first < len(lines) and (said := re.fullmatch(r'\s*"?sep=(.)"?[\s;,]*', lines[first], re.I)):
        return first + 1, said[1]
    sample = [line for line in lines[first:] if line.strip()][:_SAMPLE_LINES]
    best, found = (0.0, False, 1), ","
    for delimiter in _DELIMITERS:
        counts = [len(_split(line, delimiter)[0]) for line in sample]
        width = next((n for n in counts if n > 1), 1)
        share = sum(n == width for n in counts) / max(1, len(counts))
        rank = (share, delimiter == "\t", width)  # no text holds a tab in every line
        if width > 1 and rank > best:
            best, found = rank, delimiter
    return first, found


def _text_rows(
    lines: list[str], first: int, delimiter: str, width: int | None
) -> tuple[list[_Row], list[str]]:
    """The header and the rows of a text, and what was odd."""
    rows: list[_Row] = []
    over: list[int] = []
    unclear: list[int] = []
    unclosed: list[int] = []
    above = 0
    k, signs = first, f'{delimiter} \t\xa0"'
    last = max((n for n, line in enumerate(lines) if line.strip()), default=0)
    while k < len(lines):
        if not lines[k].strip(signs) and _BLANK.fullmatch(lines[k].replace(delimiter, "")):
            k += 1
            continue
        cells, n_lines, is_unclear, is_unclosed = _row(lines, k, delimiter, width)
        if width is None:
            filled = [cell for cell in cells if cell]
            if len(filled) < 2 and above < 20 and _is_title(lines, k + n_lines, delimiter):
                above, k = above + 1, k + n_lines
                continue
            width = len(cells)
        over += [k + 1] if n_lines > 1 else []
        unclear += [k + 1] if is_unclear else []
        unclosed += [k + 1] if is_unclosed else []
        is_torn = k == last and k == len(lines) - 1 and len(rows) > 1
        rows.append(_Row(k + 1, cells, n_lines, is_torn))
        k += n_lines
    notices = []
    if above:
        notices.append(f"{plural(above, 'line')} above the header passed over.")
    if over:
        notices.append(
            f"{plural(len(over), 'row')} with a cell over several lines (from line {_listed(over)})."
        )
    if unclosed:
        notices.append(
            f"{plural(len(unclosed), 'row')} with a cell that begins with a quotation mark and does "
            f"not end with one (line {_listed(unclosed)}); it is taken as it stands."
        )
    if unclear:
        notices.append(
            f"a quotation mark opens in line {_listed(unclear)} and closes lines later; the lines "
            "between are whole rows, so each counts as a row of its own. Look at them."
        )
    return rows, notices


def _is_title(lines: list[str], start: int, delimiter: str) -> bool:
    """Whether what stands above ``start`` is no header: the next rows have several cells."""
    below = [line for line in lines[start : start + 40] if line.strip()][:8]
    return bool(below) and all(len(_split(line, delimiter)[0]) > 1 for line in below[-3:])


def _row(
    lines: list[str], k: int, delimiter: str, width: int | None
) -> tuple[list[str], int, bool, bool]:
    """The cells of the row that begins in a line, and its number of lines.

    Then, whether that is unclear, and whether a quotation mark begins a cell and ends none.
    """
    alone, is_open = _split(lines[k], delimiter)
    if not is_open:
        return alone, 1, False, False
    cells, n_lines = _split_over_lines("\n".join(lines[k : k + _MOST_LINES_OF_A_CELL]), delimiter)
    if n_lines == 1 or (width is not None and len(cells) != width):
        return alone, 1, False, True
    inner = [_split(line, delimiter)[0] for line in lines[k : k + n_lines] if line.strip()]
    if width is not None and all(len(row) == width for row in inner):
        return alone, 1, True, False
    return cells, n_lines, False, False


def _split(line: str, delimiter: str) -> tuple[list[str], bool]:
    """The cells of a line, and whether a quotation mark begins one that no other mark ends."""
    if '"' not in line:
        return [cell.strip() for cell in line.split(delimiter)], False
    cells, _, is_open = _parsed(line, delimiter)
    return cells, is_open


def _split_over_lines(text: str, delimiter: str) -> tuple[list[str], int]:
    """The cells of the row that begins a text, and its number of lines."""
    cells, end, _ = _parsed(text, delimiter)
    return cells, text.count("\n", 0, end) + 1


def _parsed(text: str, delimiter: str) -> tuple[list[str], int, bool]:
    """The cells of a row, where it ends, and whether a quotation mark begins one and ends none."""
    plain, doubled, escaped = _patterns(delimiter)
    cells, place, is_open = [], 0, False
    while True:
        match = doubled.match(text, place) or escaped.match(text, place)
        if match:
            inside = match[1].replace('""', '"')
            cells.append((inside if match.re is doubled else inside.replace('\\"', '"')).strip())
        else:
            match = plain.match(text, place)
            assert match  # it matches any text
            cells.append(match[0].strip())
            is_open |= cells[-1].startswith('"')
        if match.end() >= len(text) or text[match.end()] == "\n":
            return cells, match.end(), is_open
        place = match.end() + 1


@cache
def _patterns(delimiter: str) -> tuple[re.Pattern[str], ...]:
    """A cell without quotes, one with doubled quotes inside, one with backslashes."""
    sign = re.escape(delimiter)
    blank = r"[^\S\t\n]*" if delimiter == "\t" else r"[^\S\n]*"
    end = rf"{blank}(?={sign}|\n|\Z)"
    patterns = (
        rf"[^{sign}\n]*",
        rf'{blank}"([^"]*(?:""[^"]*)*)"{end}',
        rf'{blank}"([^"\\]*(?:(?:\\.|"")[^"\\]*)*)"{end}',
    )
    return tuple(re.compile(pattern, re.DOTALL) for pattern in patterns)
