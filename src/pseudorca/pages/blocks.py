"""What a report is made of: sections of text, notices, tables and figures, before they are HTML.

Values come in as they are; escaping, number formats and layout are the template's. A figure becomes
inline SVG here: its text and lines take the page's colours, so that it reads on paper, by day and
in the dark, and its pictures shrink to one byte per pixel.
"""

import base64
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import xxhash
from markupsafe import Markup, escape
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

from pseudorca.pages.plots import BLUE, GRID, INK, SOFT

WIDTH_IN = 11.0
"""Width of a full figure in inches: at 96 pixels each it fills the page's column."""

_THEME = {
    INK: "var(--ink)",
    SOFT: "var(--soft)",
    GRID: "var(--grid)",
    BLUE.lower(): "var(--blue)",
    "#ffffff": "var(--paper)",
}


@dataclass(frozen=True)
class Number:
    """A number with the digits it deserves; the page keeps the exact value beside what it shows."""

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
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str | Markup


@dataclass(frozen=True)
class Heading:
    """A heading inside a section."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Notices:
    """Sentences that a reader should not miss."""

    kind: ClassVar[str] = "notices"
    sentences: Sequence[str]


@dataclass(frozen=True)
class Commands:
    """What to run next."""

    kind: ClassVar[str] = "commands"
    why: str
    lines: Sequence[str]


@dataclass(frozen=True)
class Headline:
    """The number that counts, with all that it must never be quoted without."""

    kind: ClassVar[str] = "headline"
    verdict: str
    """A warning that stands before the number; empty if there is none."""
    value: Number | None = None
    what: str = ""
    low: Number | None = None
    high: Number | None = None
    method: str = ""
    baseline: Number | None = None
    about: str = ""
    compared: Sequence[str] = ()
    """Other numbers, each in a sentence that says what it is."""


@dataclass(frozen=True)
class Facts:
    """A few numbers with their names."""

    kind: ClassVar[str] = "facts"
    facts: Sequence[tuple[str, Cell]]


@dataclass(frozen=True)
class Settings:
    """Names with their values, in as little room as they take."""

    kind: ClassVar[str] = "settings"
    settings: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """A table; columns whose cells are numbers are aligned to the right."""

    kind: ClassVar[str] = "table"
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    n_more: int = 0
    more: str = ""
    """Where the rows are that are not shown."""

    @property
    def is_number(self) -> list[bool]:
        kinds = (int, Number)
        return [
            bool(self.rows)
            and all(isinstance(row[k], kinds) or row[k] is None for row in self.rows)
            for k in range(len(self.columns))
        ]


@dataclass(frozen=True)
class Chart:
    """A figure as inline SVG."""

    kind: ClassVar[str] = "chart"
    svg: Markup
    caption: str | Markup


@dataclass(frozen=True)
class Fold:
    """Blocks that open on a click."""

    kind: ClassVar[str] = "fold"
    title: str
    blocks: Sequence["Block"]
    is_open: bool = False


Block = Text | Headline | Heading | Notices | Commands | Facts | Settings | Table | Chart | Fold


def folded(table: Table, *, most: int = 30) -> Table | Fold:
    """Fold a table away if it is long."""
    n_rows = len(table.rows)
    if n_rows <= most:
        return table
    first_sentence, _, rest = table.caption.partition(". ")
    title = f"{first_sentence.rstrip('.')} ({n_rows:,} rows)"
    return Fold(title, [replace(table, caption=rest)])


@dataclass
class Section:
    """One section of the report."""

    anchor: str
    title: str
    blocks: list[Block] = field(default_factory=list)


def figure(height_in: float, *, width_in: float = WIDTH_IN) -> Figure:
    """Make an empty figure with a transparent ground, laid out by itself."""
    made = Figure(figsize=(width_in, height_in), facecolor="none")
    made.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06))
    return made


def chart(made: Figure, *, description: str, caption: str | Markup) -> Chart:
    """Draw a figure as inline SVG.

    Parameters
    ----------
    made : Figure
    description : str, what a reader who cannot see the figure is told
    caption : str
    """
    return Chart(inline_svg(made, description=description), caption)


def inline_svg(made: Figure, *, description: str) -> Markup:
    """Turn a figure into an SVG element that can stand in a page, the same every time.

    Ids that nothing refers to go; the others begin with a hash of the figure, so that no other figure
    on the page has them.
    """
    buffer = io.BytesIO()
    made.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue().decode()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)  # it would rule the whole page
    text = re.sub(r'(data:image/png;base64,)([^"]*)', lambda m: m[1] + _smaller_png(m[2]), text)
    # Browsers smooth what they scale; Matplotlib asks them not to.
    text = re.sub(r' style="image-rendering:[^"]*"', "", text)
    text = re.sub(r' d="[^"]*"', lambda m: re.sub(r"\d+\.\d{3,}", _rounded, m[0]), text)
    used = dict.fromkeys(re.findall(r'(?:url\(#|href="#)([^")]+)', text))
    new = {
        name: f"\0{k}" for k, name in enumerate(used)
    }  # Matplotlib makes up these names at random
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
    """Count the figures of a report, folded ones included."""

    def inside(blocks: Sequence[Block]) -> int:
        return sum(
            inside(block.blocks) if isinstance(block, Fold) else isinstance(block, Chart)
            for block in blocks
        )

    return sum(inside(section.blocks) for section in sections)


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


def _smaller_png(encoded: str) -> str:
    """Store a picture of at most 256 colours as a palette; nothing that can be seen is lost."""
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
        pixels = np.asarray(picture.convert("RGBA"))
    if (pixels[..., 3] == 255).all():
        codes = pixels[..., :3].astype(np.uint32) @ np.array([65536, 256, 1], dtype=np.uint32)
        colours, index = np.unique(codes, return_inverse=True)
        if len(colours) <= 256:
            bytes_ = index.astype(np.uint8).tobytes()
            small = Image.frombytes("P", (codes.shape[1], codes.shape[0]), bytes_)
            palette = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1)
            small.putpalette(palette.astype(np.uint8).tobytes())
            buffer = io.BytesIO()
            small.save(buffer, format="PNG", optimize=True)
            return base64.b64encode(buffer.getvalue()).decode()
    return encoded.replace("\n", "")
