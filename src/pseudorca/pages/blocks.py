"""The parts of a page before they are HTML: sections with text, notices, tables and figures.

In: plain values. The template escapes text, formats numbers and does the layout. A figure becomes
inline SVG here. Text and lines of a figure take the colours of the page, so a figure is readable on
paper, in light mode and in dark mode. Pictures in a figure are stored with one byte per pixel.
"""

import base64
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np
import xxhash
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

from pseudorca.pages.plots import BLUE, GRID, INK, SOFT
from pseudorca.values import plural

WIDTH_IN = 11.0
"""Width of a full figure in inches. At 96 pixels per inch the figure fills the column of the page."""

_THEME = {
    INK: "var(--ink)",
    SOFT: "var(--soft)",
    GRID: "var(--grid)",
    BLUE.lower(): "var(--blue)",
    "#ffffff": "var(--paper)",
}


@dataclass(frozen=True)
class Number:
    """A number and the digits that are shown. The page also keeps the exact value.

    Examples
    --------
    >>> str(Number(0.8461, digits=2)), str(Number(None))
    ('0.85', '–')
    """

    value: float | None
    digits: int = 2
    unit: str = ""

    def __str__(self) -> str:
        if self.value is None or not np.isfinite(self.value):
            return "–"
        return f"{self.value:,.{self.digits}f}{self.unit}"


Cell = str | int | Number | None


@dataclass(frozen=True)
class Text:
    """A paragraph: a line that is seen at once, and more of it on a click.

    Examples
    --------
    >>> Text("12 encounters.").more
    ''
    """

    kind: ClassVar[str] = "text"
    text: str | Markup
    more: str | Markup = ""


def in_short(text: str) -> Text:
    """Show the first sentence of a paragraph, and the others on a click.

    Examples
    --------
    >>> in_short("An interval from 0.49 to 0.79. It holds the others.")
    Text(text='An interval from 0.49 to 0.79.', more='It holds the others.')
    """
    first, *others = re.split(r"(?<=[.?!]) (?=[A-Z])", text.strip(), maxsplit=1)
    return Text(first, "".join(others))


@dataclass(frozen=True)
class Heading:
    """A heading inside a section.

    Examples
    --------
    >>> Heading("Would more encounters help?").kind
    'heading'
    """

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Notices:
    """Important sentences, in a box: the first three at once, the others on a click.

    Examples
    --------
    >>> Notices(["Too few encounters to conclude."]).kind
    'notices'
    """

    kind: ClassVar[str] = "notices"
    sentences: Sequence[str]


@dataclass(frozen=True)
class Commands:
    """Commands to run next.

    Examples
    --------
    >>> Commands("To find out, run:", ["pseudorca evaluate"]).lines
    ['pseudorca evaluate']
    """

    kind: ClassVar[str] = "commands"
    why: str
    lines: Sequence[str]


@dataclass(frozen=True)
class Headline:
    """The main number, with the interval, the method and the baseline that belong to the number.

    Examples
    --------
    >>> str(Headline(verdict="", value=Number(0.8), low=Number(0.6), high=Number(0.9)).value)
    '0.80'
    """

    kind: ClassVar[str] = "headline"
    verdict: str
    """A warning before the number; empty if there is no warning."""
    value: Number | None = None
    what: str = ""
    low: Number | None = None
    high: Number | None = None
    method: str = ""
    baseline: Number | None = None
    about: str = ""
    compared: Sequence[str] = ()
    """Sentences about other numbers."""


@dataclass(frozen=True)
class Facts:
    """A few numbers with their names.

    Examples
    --------
    >>> dict(Facts([("recordings", 12), ("hours", Number(3.25, 1))]).facts)["recordings"]
    12
    """

    kind: ClassVar[str] = "facts"
    facts: Sequence[tuple[str, Cell]]


@dataclass(frozen=True)
class Settings:
    """Names with their values, in a compact list.

    Examples
    --------
    >>> Settings([("window_s", "3.0")]).kind
    'settings'
    """

    kind: ClassVar[str] = "settings"
    settings: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """A table. Columns of numbers are aligned to the right.

    Examples
    --------
    >>> Table(("class", "clips"), [("Insular", 12), ("Pelagic", None)]).is_number
    [False, True]
    """

    kind: ClassVar[str] = "table"
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    n_more: int = 0
    more: str = ""
    """A sentence about where the other rows are."""

    @property
    def is_number(self) -> list[bool]:
        """Whether each column holds numbers only; missing values are allowed."""
        kinds = (int, Number)
        return [
            bool(self.rows)
            and all(isinstance(row[k], kinds) or row[k] is None for row in self.rows)
            for k in range(len(self.columns))
        ]


@dataclass(frozen=True)
class Chart:
    """A figure as inline SVG; :func:`chart` makes one.

    Examples
    --------
    >>> Chart(Markup("<svg></svg>"), "An empty figure.").kind
    'chart'
    """

    kind: ClassVar[str] = "chart"
    svg: Markup
    caption: str | Markup


@dataclass(frozen=True)
class Gallery:
    """Small charts side by side: as many in a row as the page is wide.

    Examples
    --------
    >>> Gallery([Chart(Markup("<svg></svg>"), "An empty figure.")]).kind
    'gallery'
    """

    kind: ClassVar[str] = "gallery"
    charts: Sequence[Chart]


@dataclass(frozen=True)
class Fold:
    """Blocks that open on a click.

    Examples
    --------
    >>> Fold("All runs", [Text("No runs.")]).is_open
    False
    """

    kind: ClassVar[str] = "fold"
    title: str
    blocks: Sequence["Block"]
    is_open: bool = False


Tone = Literal["plain", "good", "unsure", "bad"]
"""What a colour says; the words beside it say the same."""


@dataclass(frozen=True)
class Card:
    """One answer of the first screen: a number or a word, and a line or two about it.

    Examples
    --------
    >>> Card("Animals or recorders?", "Not audited", tone="unsure").rows
    ()
    """

    title: str
    value: str
    tone: Tone = "plain"
    lines: Sequence[str] = ()
    warnings: Sequence[str] = ()
    rows: Sequence[tuple[str, str]] = ()
    """Names and what is said of each."""
    more: Sequence[tuple[str, Sequence[tuple[str, str]]]] = ()
    """Titles and rows that open on a click."""
    command: str = ""
    """What to run, where the answer is not known."""
    link: tuple[str, str] | None = None
    """A text and the anchor of the section with the details."""


@dataclass(frozen=True)
class Cards:
    """Cards side by side.

    Examples
    --------
    >>> Cards([Card("Found", "3 of 4 encounters named")]).kind
    'cards'
    """

    kind: ClassVar[str] = "cards"
    cards: Sequence[Card]


Block = (
    Text
    | Headline
    | Cards
    | Heading
    | Notices
    | Commands
    | Facts
    | Settings
    | Table
    | Chart
    | Gallery
    | Fold
)


def folded(table: Table, *, most: int = 30) -> Table | Fold:
    """Put a long table into a block that opens on a click.

    Parameters
    ----------
    table : Table
    most : int, most rows of a table that is shown at once

    Returns
    -------
    Table or Fold

    Examples
    --------
    >>> folded(Table(("clip",), [(k,) for k in range(40)], caption="All clips. In order.")).title
    'All clips (40 rows)'
    """
    n_rows = len(table.rows)
    if n_rows <= most:
        return table
    first_sentence, _, rest = table.caption.partition(". ")
    title = f"{first_sentence.rstrip('.')} ({plural(n_rows, 'row')})"
    return Fold(title, [replace(table, caption=rest)])


@dataclass
class Section:
    """One section of a page. ``anchor`` is the id of the section in links.

    Examples
    --------
    >>> section = Section("data", "The data")
    >>> section.blocks.append(Text("12 recordings."))
    >>> len(section.blocks)
    1
    """

    anchor: str
    title: str
    blocks: list[Block] = field(default_factory=list)
    is_folded: bool = False
    """Whether the section opens on a click."""


def figure(height_in: float, *, width_in: float = WIDTH_IN) -> Figure:
    """Make an empty figure with a transparent background and automatic layout.

    Parameters
    ----------
    height_in, width_in : float, inches

    Returns
    -------
    Figure

    Examples
    --------
    >>> figure(2.0, width_in=4.0).get_size_inches().tolist()
    [4.0, 2.0]
    """
    new = Figure(figsize=(width_in, height_in), facecolor="none")
    new.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06))
    return new


def panels(
    n: int, *, n_columns: int, row_in: float, margin_in: float, width_in: float = WIDTH_IN
) -> tuple[Figure, list[Axes]]:
    """Make a figure with panels in rows and columns. Places without a panel stay empty.

    Parameters
    ----------
    n, n_columns : int, how many panels there are, and how many side by side
    row_in, margin_in, width_in : float, inches
        Height of a row, what is added to the height of the rows, and width of the figure

    Returns
    -------
    drawn : Figure
    axes : list of Axes, one per panel, row by row

    Examples
    --------
    >>> drawn, axes = panels(3, n_columns=2, row_in=2.0, margin_in=0.5)
    >>> len(axes), float(drawn.get_figheight())
    (3, 4.5)
    """
    n_rows = -(-n // n_columns)
    drawn = figure(row_in * n_rows + margin_in, width_in=width_in)
    axes = drawn.subplots(n_rows, n_columns, squeeze=False).ravel()
    for ax in axes[n:]:
        ax.set_axis_off()
    return drawn, list(axes[:n])


def chart(drawn: Figure, *, caption: str | Markup, description: str = "") -> Chart:
    """Draw a figure as inline SVG.

    Parameters
    ----------
    drawn : Figure
    caption : str
    description : str, the text for readers who cannot see the figure; empty: the caption

    Returns
    -------
    Chart

    Examples
    --------
    >>> chart(figure(1.0), caption="An empty figure.").caption
    'An empty figure.'
    """
    return Chart(inline_svg(drawn, description=description or str(caption)), caption)


def inline_svg(drawn: Figure, *, description: str) -> Markup:
    """Turn a figure into an SVG element of a page. Equal figures give equal elements.

    Ids without a reference are removed. The other ids begin with a hash of the figure, so two
    figures on one page never share an id.

    Parameters
    ----------
    drawn : Figure
    description : str, the text for readers who cannot see the figure

    Returns
    -------
    Markup

    Examples
    --------
    >>> inline_svg(figure(1.0), description="Nothing.")[:37]
    Markup('<svg role="img" aria-label="Nothing."')
    """
    buffer = io.BytesIO()
    # ``savefig`` would draw twice: once for the layout, which the canvas does itself.
    canvas = FigureCanvasSVG(drawn)
    canvas.print_svg(buffer, metadata={"Date": None})  # type: ignore[no-untyped-call]
    text = buffer.getvalue().decode()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)  # styles apply to the whole page
    text = re.sub(r'(data:image/png;base64,)([^"]*)', lambda m: m[1] + _smaller_png(m[2]), text)
    # Matplotlib asks browsers not to smooth scaled pictures. Smoothing looks better here.
    text = re.sub(r' style="image-rendering:[^"]*"', "", text)
    text = re.sub(r' d="[^"]*"', lambda m: re.sub(r"\d+\.\d{3,}", _rounded, m[0]), text)
    used = dict.fromkeys(re.findall(r'(?:url\(#|href="#)([^")]+)', text))
    new = {name: f"\0{k}" for k, name in enumerate(used)}  # Matplotlib draws these names at random
    text = re.sub(r' id="([^"]*)"', lambda m: f' id="{new[m[1]]}"' if m[1] in new else "", text)
    text = re.sub(r'(url\(#|href="#)([^")]+)', lambda m: m[1] + new[m[2]], text)
    text = text.replace("\0", f"f{xxhash.xxh3_64(text.encode()).hexdigest()[:10]}-")
    for colour, variable in _THEME.items():
        text = text.replace(colour, variable)
    box = re.search(r'viewBox="0 0 ([\d.]+) [\d.]+"', text)
    assert box is not None
    opening = (
        f'<svg role="img" aria-label="{escape(description)}" {box[0]} '
        f'style="width:{float(box[1]) * 4 / 3:.0f}px">'
    )
    text = opening + text[text.index(">") + 1 :]
    return Markup(re.sub(r"\s*\n\s*", " ", text))


def count_figures(sections: Iterable[Section]) -> int:
    """Count the figures of a page. Figures in folded blocks count, too.

    Parameters
    ----------
    sections : iterable of Section

    Returns
    -------
    int

    Examples
    --------
    >>> count_figures([Section("data", "Data", [Text("No figure here.")])])
    0
    """

    def inside(blocks: Sequence[Block]) -> int:
        return sum(
            inside(block.blocks)
            if isinstance(block, Fold)
            else len(block.charts)
            if isinstance(block, Gallery)
            else isinstance(block, Chart)
            for block in blocks
        )

    return sum(inside(section.blocks) for section in sections)


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


def _smaller_png(encoded: str) -> str:
    """Store a picture of at most 256 colours with a palette. No pixel changes."""
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
        pixels = np.asarray(picture.convert("RGBA"))
    codes, index = np.unique(pixels.view(">u4"), return_inverse=True)
    colours = codes.view(np.uint8).reshape(-1, 4)
    if len(colours) > 256 or (colours[:, 3] < 255).any():
        return encoded.replace("\n", "")
    small = Image.fromarray(index.reshape(pixels.shape[:2]).astype(np.uint8))
    small.putpalette(colours[:, :3].tobytes())
    buffer = io.BytesIO()
    small.save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
