"""The result of an audit as parts of a page: the verdict first, then every control, and the figures.

The module computes nothing: all numbers come from the table ``audits``. Each figure takes axes and
plain values, and returns the axes (as in :mod:`pseudorca.pages.plots`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from pseudorca.audit.words import title
from pseudorca.learning.recipe import Recipe
from pseudorca.pages.blocks import (
    Block,
    Cell,
    Chart,
    Fold,
    Heading,
    Headline,
    Number,
    Settings,
    Table,
    Text,
    chart,
    figure,
    folded,
    in_short,
    panels,
)
from pseudorca.pages.plots import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    SMALL_PT,
    SOFT,
    VERMILLION,
    class_colours,
    keep_outer_labels,
    shown,
    style,
)
from pseudorca.recordings.folds import describe_split
from pseudorca.values import plural

_VERDICTS = {
    "recorder": "The recorder explains it",
    "animals": "",
    "cannot tell": "Cannot tell animals from recorders",
}

_IN_WORDS = {
    "recorder": "What is left are the facts of the files and the noise between the sounds. On another "
    "ship, with another recorder or on another day the classifier may fail. Recordings of each class "
    "with the same equipment are what would help.",
    "animals": "That holds for these recordings, and does not rule out what no control measured.",
    "cannot tell": "Most often that means too few encounters: what one group of animals, one day or "
    "one recorder did cannot be told from what the population does.",
}

PAPER = "#ffffff"

KINDS: dict[str, tuple[str, str, bool, str]] = {
    "model": ("o", BLUE, True, "the classifier"),
    "nuisance": ("s", VERMILLION, True, "no animal in it: votes"),
    "shown": ("D", GREY, False, "animals may have a part in it: does not vote"),
    "optimistic": ("o", ORANGE, False, "optimistic"),
}
"""Marker, colour, whether filled, and meaning of each kind of row."""


def verdict_blocks(
    audit: Mapping[str, Any], n_audits: int, warnings: Sequence[Block]
) -> list[Block]:
    """The result of one audit, as blocks of a page.

    Parameters
    ----------
    audit : mapping, a row of ``audits``, parsed
    n_audits : int, the number of audits in the project
    warnings : sequence of Block, shown under the verdict

    Returns
    -------
    list of Block

    Examples
    --------
    >>> row = {"p": 0.01, "value": 0.9, "low": 0.7, "high": 1.0, "interval_method": "binomial"}
    >>> judged = {"verdict": "animals", "best_control": "platform", "p_nuisance": 0.4,
    ...           "difference": {"value": 0.3, "low": 0.1, "high": 0.5}}
    >>> blocks = verdict_blocks(judged | {
    ...     "controls": [row | {"name": "model", "kind": "model"},
    ...                  row | {"name": "platform", "kind": "nuisance"}],
    ...     "by_background_alone": judged, "p_model": 0.01, "smallest_p": 0.005,
    ...     "n_permutations": 199, "enumerated": False, "chance": 0.5, "classes": ["A", "B"],
    ...     "n_encounters": 20, "n_clips": 40, "summary": "Animals: ...", "associations": [],
    ...     "explained": dict.fromkeys(["facts and background", "beside evaluate", "association"], ""),
    ...     "split": {"name": "encounter", "n_folds": 5, "n_repeats": 1},
    ...     "recipe": Recipe().settings() | {"embedder_id": "5f1c"}, "background_settings": {},
    ...     "options": {"within": None, "seed": 0, "clips_per_encounter": 20}, "versions": {},
    ...     "time_utc": "2026-01-01T00:00:00",
    ... }, 1, [])
    >>> blocks[0].value, blocks[-1].title
    (Number(value=0.9, digits=2, unit=''), 'How this was found')
    """
    explained = audit["explained"]
    blocks: list[Block] = [
        _headline(audit),
        in_short(
            f"{audit['summary'].partition(' On encounters')[0]} {_IN_WORDS[audit['verdict']]}"
        ),
        *warnings,
        _forest(audit),
        _numbers(audit),
    ]
    parts = ("facts and background", "beside evaluate", "leakage gap", "recorder in the embeddings")
    blocks += [in_short(explained[part]) for part in parts if part in explained]
    if "swap" in audit:
        blocks += [Heading("Backgrounds swapped"), *_swap(audit)]
    if "bands" in audit:
        blocks += [Heading("Which frequencies"), *_bands(audit)]
    blocks += [Heading("Can these data tell?"), *_association(audit)]
    return [*blocks, _settings(audit, n_audits)]


def _headline(audit: Mapping[str, Any]) -> Headline:
    rows = {row["name"]: row for row in audit["controls"]}
    model = rows["model"]
    compared = []
    if audit["best_control"] is not None:
        best, gain = rows[audit["best_control"]], audit["difference"]
        compared.append(
            f"The best control without any animal in it, {title(best['name'])}: {best['value']:.2f}, "
            f"95 % interval {best['low']:.2f} to {best['high']:.2f}. The classifier minus the best "
            f"control: {gain['value']:+.2f}, 95 % interval {gain['low']:+.2f} to {gain['high']:+.2f}."
        )
    return Headline(
        verdict=_VERDICTS[audit["verdict"]],
        value=Number(model["value"]),
        what="balanced accuracy of the classifier on encounters never heard",
        low=Number(model["low"]),
        high=Number(model["high"]),
        method=model["interval_method"],
        baseline=Number(audit["chance"]),
        about=f"{describe_split(audit['split'])}; {plural(audit['n_encounters'], 'encounter')} of "
        f"{plural(len(audit['classes']), 'class')}; {audit['n_clips']:,} clips; "
        f"{Recipe.from_settings(audit['recipe']).describe()}",
        compared=compared,
    )


def _forest(audit: Mapping[str, Any]) -> Chart:
    kinds = list(KINDS)
    rows = sorted(audit["controls"], key=lambda row: kinds.index(row["kind"]))
    chart_figure = figure(1.1 + 0.29 * len(rows), width_in=9.6)
    forest(chart_figure.subplots(), rows, chance=audit["chance"])
    spoken = "; ".join(
        f"{title(row['name'])}: {row['value']:.2f}, {row['low']:.2f} to {row['high']:.2f}"
        for row in rows
    )
    return chart(
        chart_figure,
        description=f"Balanced accuracy by encounter, classifier and controls. {spoken}.",
        caption="How well encounters never heard are named, with 95 % intervals: by the classifier, "
        "and by the same kind of classifier given nothing but what the row says. Filled squares hold "
        "no animal; if they do as well as the classifier, it need not have heard one.",
    )


def _numbers(audit: Mapping[str, Any]) -> Fold:
    rows = [
        (
            title(row["name"]), "yes" if row["kind"] == "nuisance" else "",
            Number(row["value"], 3), _between(row), Number(row["p"], 3),
        )
        for row in audit["controls"]
    ]  # fmt: skip
    caption = (
        "Own p: how often the row alone does as well when labels are shuffled between encounters. With "
        "several controls one of them is lucky more often than one alone would be"
    )
    if audit["p_nuisance"] is not None:
        caption += (
            f", so the verdict takes the joint p of those that vote, {audit['p_nuisance']:.3f}: how "
            "often the best of them, whichever it is in a shuffle, does as well as the best one here"
        )
    columns = ("", "votes", "balanced accuracy", "95 % interval", "own p")
    return Fold("Classifier and controls in numbers", [Table(columns, rows, caption=f"{caption}.")])


def _swap(audit: Mapping[str, Any]) -> list[Block]:
    swap = audit["swap"]
    explanation = in_short(audit["explained"]["background swap"])
    if swap is None:
        return [explanation]
    share = {kind: of["value"] for kind, of in swap.items() if isinstance(of, Mapping)}
    rows: list[tuple[str, dict[str, float]]] = []
    for kind, name in (("before", "as recorded"), ("rebuilt", "taken apart, own background")):
        right, nothing = share[f"right_{kind}"], share[f"nothing_{kind}"]
        rows.append((name, {"animal": right, "neither": 1 - right - nothing, "nothing": nothing}))
    rows.append(("background of another class", share))
    chart_figure = figure(1.75, width_in=8.2)
    answers_bar(chart_figure.subplots(), rows)
    caption = (
        "What classifiers that heard neither encounter say of a clip. Plain: the label of its signals. "
        "Hatched: the label of the background that was put under them. Dotted: another label. Crossed: "
        "nothing. The signals are what stands out from the clip's own background; the second row "
        "shows what taking a clip apart costs by itself."
    )
    return [explanation, chart(chart_figure, description=caption, caption=caption)]


def _bands(audit: Mapping[str, Any]) -> list[Block]:
    bands = audit["bands"]
    if bands is None:
        return [in_short(audit["explained"]["bands"])]
    edges = [hz / 1000 for hz in bands["signal_edges_hz"]]
    answer = figure(3.7, width_in=6.4)
    model = next(row for row in audit["controls"] if row["kind"] == "model")
    band_intervals(answer.subplots(), bands["bands"], chance=audit["chance"], whole=model["value"])
    caption = (
        "Balanced accuracy by encounter with pictures that show one band only, and with pictures that "
        "show all but it (upright lines: 95 % intervals). An answer from where no animal sounds is "
        "not the animals'."
    )
    rows = [
        (
            f"{band['low_hz'] / 1000:.1f} to {band['high_hz'] / 1000:.1f}",
            Number(band["alone"]["value"]), _between(band["alone"]),
            Number(band["left_out"]["value"]), _between(band["left_out"]),
        )
        for band in bands["bands"]
    ]  # fmt: skip
    table = Table(("band, kHz", "alone", "95 % interval", "left out", "95 % interval"), rows)
    return [
        in_short(audit["explained"]["bands"]),
        chart(answer, description=caption, caption=caption),
        _where_the_sounds_are(edges, bands["signal_excess_db"]),
        Fold("Bands in numbers", [table]),
    ]


def _where_the_sounds_are(
    edges_khz: Sequence[float], excess_db: Mapping[str, Sequence[float | None]]
) -> Chart:
    """A panel per class, on the same axes: lines on top of each other cannot be told apart."""
    columns = min(3, len(excess_db))
    chart_figure, axes = panels(
        len(excess_db), n_columns=columns, row_in=1.7, margin_in=0.2, width_in=3.4 * columns
    )
    known = [value for values in excess_db.values() for value in values if value is not None]
    colours = class_colours(list(excess_db))
    for ax, (label, values) in zip(axes, excess_db.items(), strict=True):
        excess_steps(ax, edges_khz, values, colour=colours[label], title=label)
        ax.set_ylim(min([0.0, *known]) - 0.5, max([1.0, *known]) * 1.08)
    keep_outer_labels(axes, n_columns=columns)
    caption = (
        "Where the animals' sounds are: by how much frames with signals exceed frames without, in "
        "each band; the median over the clips of a class."
    )
    return chart(chart_figure, caption=caption)


def _association(audit: Mapping[str, Any]) -> list[Block]:
    rows: list[tuple[Cell, ...]] = [
        (fact["name"], fact["n_values"], fact["n_shared"], Number(fact["cramers_v"]))
        for fact in audit["associations"]
    ]
    blocks: list[Block] = [
        in_short(audit["explained"]["association"]),
        Table(
            ("what", "values", "of these with more than one label", "Cramér's V"),
            rows,
            caption="How the label goes with what is not the animal, counted in encounters. Cramér's V "
            "is corrected for chance: 0, nothing to do with the label; 1, it gives the label away.",
        ),
    ]
    for fact in audit["associations"]:
        if fact["name"] in ("platform", "recorder"):
            cells = [(value, *counts) for value, counts in fact["encounters"].items()]
            caption = f"Encounters per {fact['name']} and label."
            blocks.append(folded(Table((fact["name"], *fact["labels"]), cells, caption=caption)))
    return blocks


def _settings(audit: Mapping[str, Any], n_audits: int) -> Fold:
    options, background = audit["options"], audit["background_settings"]
    p_nuisance = audit["p_nuisance"]
    settings = [
        ("verdict", audit["verdict"]),
        ("p of the classifier", f"{audit['p_model']:.4f}"),
        ("joint p of the controls that vote", "–" if p_nuisance is None else f"{p_nuisance:.4f}"),
        ("smallest p possible", f"{audit['smallest_p']:.4f}"),
        ("permutations", f"{audit['n_permutations']}{' (all)' if audit['enumerated'] else ''}"),
        ("permuted within", options["within"] or "everything"),
        ("seed", str(options["seed"])),
        ("clips per encounter", f"at most {options['clips_per_encounter']}"),
        ("embedder", audit["recipe"]["embedder_id"]),
        ("audited", audit["time_utc"][:16].replace("T", " ") + " UTC"),
        ("audits kept", str(n_audits)),
        *((f"background: {key}", str(value)) for key, value in background.items()),
        *audit["versions"].items(),
    ]
    by_background = audit["by_background_alone"]
    text = (
        "The rule. Recorder: the best control without animals predicts the label (p < 0.05; the best "
        "of all of them in each permutation), and the interval of classifier minus best control "
        "(chosen again in each resample of the encounters) does not lie above 0. Animals: "
        "that interval lies above 0, the classifier's own p < 0.05, and each class has at least 4 "
        "encounters. Cannot tell: everything else. By the background alone, without the facts of the "
        f"files: {by_background['verdict']}."
    )
    return Fold("How this was found", [Text(text), Settings(settings)])


def _between(row: Mapping[str, float]) -> str:
    return f"{row['low']:.2f} to {row['high']:.2f}"


def forest(ax: Axes, rows: Sequence[Mapping[str, Any]], *, chance: float) -> Axes:
    """Draw the model and every control on one axis, with intervals and the line of chance.

    Parameters
    ----------
    ax : Axes
    rows : sequence of dict with ``name``, ``kind`` (of :data:`KINDS`) and the balanced accuracy with
        its 95 % interval, ``value, low, high``; the first on top
    chance : float, the balanced accuracy of guessing

    Returns
    -------
    Axes, the same

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> row = {"name": "model", "kind": "model", "value": 0.8, "low": 0.6, "high": 0.9}
    >>> ax = forest(Figure().add_subplot(), [row], chance=0.5)
    """
    for place, row in enumerate(rows):
        marker, colour, filled, _ = KINDS[row["kind"]]
        value, low, high = row["value"], row["low"], row["high"]
        ax.plot([low, high], [place, place], color=colour, linewidth=2.0,
                solid_capstyle="butt")  # fmt: skip
        ax.plot(value, place, marker, markersize=7, color=colour, markeredgewidth=1.7,
                markerfacecolor=colour if filled else PAPER)  # fmt: skip
        ax.text(1.02, place, f"{value:.2f}  [{low:.2f}, {high:.2f}]", va="center",
                fontsize=SMALL_PT, color=INK, clip_on=False)  # fmt: skip
    ax.axvline(chance, color=SOFT, linestyle="--", linewidth=1.1)
    style(ax, x="balanced accuracy by encounter, 0 to 1 (dashes: chance)", grid="x", bare="y")
    ax.set_yticks(
        range(len(rows)), [shown(title(row["name"]), 60) for row in rows], fontsize=SMALL_PT
    )
    ax.set_xlim(0, 1)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    present = {row["kind"] for row in rows}
    handles = [
        Line2D([], [], color=colour, marker=marker, linewidth=2.0, markersize=6, label=meaning,
               markerfacecolor=colour if filled else PAPER)
        for kind, (marker, colour, filled, meaning) in KINDS.items() if kind in present
    ]  # fmt: skip
    ax.legend(
        handles=handles, loc="upper center", ncols=len(handles), frameon=False, labelcolor=INK,
        bbox_to_anchor=(0.35, -0.6 / max(0.25 * len(rows) + 0.4, 1)), fontsize=SMALL_PT,
    )  # fmt: skip
    return ax


def answers_bar(ax: Axes, rows: Sequence[tuple[str, Mapping[str, float]]]) -> Axes:
    """Draw the shares of the answers for each row.

    Parameters
    ----------
    ax : Axes
    rows : sequence of (name, shares of ``animal``, ``background``, ``neither`` and ``nothing``),
        first on top

    Returns
    -------
    Axes, the same

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = answers_bar(
    ...     Figure().add_subplot(),
    ...     [("swapped", {"animal": 0.7, "background": 0.2, "neither": 0.1})],
    ... )
    """
    for place, (_, shares) in enumerate(rows):
        left = 0.0
        for kind, colour, hatch in (
            ("animal", BLUE, ""), ("background", VERMILLION, "///"), ("neither", GREY, "..."),
            ("nothing", SOFT, "xxx"),
        ):  # fmt: skip
            share = shares.get(kind, 0.0)
            ax.barh(place, share, 0.6, left, color=colour, hatch=hatch, edgecolor=PAPER,
                    linewidth=0.6)  # fmt: skip
            if share >= 0.08:
                ax.text(left + share / 2, place, f" {100 * share:.0f} % ", ha="center", va="center",
                        fontsize=SMALL_PT, color="#fefefe",
                        bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.0})  # fmt: skip
            left += share
    style(ax, x="share of clips", grid="x", bare="y")
    ax.set_yticks(range(len(rows)), [shown(name, 60) for name, _ in rows], fontsize=SMALL_PT)
    ax.set_xlim(0, 1)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    return ax


def excess_steps(
    ax: Axes,
    edges_khz: Sequence[float],
    excess_db: Sequence[float | None],
    *,
    colour: str,
    title: str = "",
) -> Axes:
    """Draw the excess of one class's signals over the background, by frequency.

    Parameters
    ----------
    ax : Axes
    edges_khz : sequence of float, one more than there are bands
    excess_db : sequence of float, decibels per band, None if unknown
    colour, title : str

    Returns
    -------
    Axes, the same

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = excess_steps(Figure().add_subplot(), [0, 4, 8], [3.0, None], colour="black")
    """
    heights = [float("nan") if value is None else value for value in excess_db]
    ax.stairs(heights, edges_khz, baseline=0, fill=True, color=colour, alpha=0.3, linewidth=0)
    ax.stairs(heights, edges_khz, baseline=None, color=colour, linewidth=1.6)
    style(ax, x="kHz", y="dB", title=title, grid="y")
    ax.set_xlim(edges_khz[0], edges_khz[-1])
    return ax


def band_intervals(
    ax: Axes, bands: Sequence[Mapping[str, Any]], *, chance: float, whole: float
) -> Axes:
    """Draw the accuracy of each band alone, and of all other bands.

    Parameters
    ----------
    ax : Axes
    bands : sequence of dict with ``low_hz, high_hz`` and ``alone`` and ``left_out``, each with
        ``value, low, high``
    chance, whole : float, balanced accuracy of guessing and with all bands

    Returns
    -------
    Axes, the same

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> estimate = {"value": 0.7, "low": 0.5, "high": 0.9}
    >>> ax = band_intervals(
    ...     Figure().add_subplot(), [{"low_hz": 0, "high_hz": 8000, "alone": estimate,
    ...                               "left_out": estimate}], chance=0.5, whole=0.9,
    ... )
    """
    for band in bands:
        low, high = band["low_hz"] / 1000, band["high_hz"] / 1000
        for kind, colour, dash, at in (("alone", BLUE, "-", 0.38), ("left_out", ORANGE, ":", 0.62)):
            estimate = band[kind]
            ax.plot([low, high], [estimate["value"]] * 2, dash, color=colour, linewidth=2.6,
                    solid_capstyle="butt")  # fmt: skip
            middle = low + at * (high - low)
            ax.plot([middle] * 2, [estimate["low"], estimate["high"]], color=colour, linewidth=1.1)
    ax.axhline(chance, color=SOFT, linestyle="--", linewidth=1.1)
    ax.axhline(whole, color=INK, linewidth=0.9)
    style(ax, x="kHz", y="balanced accuracy", title="Where the answer comes from", grid="y")
    ax.set_xlim(bands[0]["low_hz"] / 1000, bands[-1]["high_hz"] / 1000)
    ax.set_ylim(0, 1.02)
    handles = [
        Line2D([], [], color=BLUE, linewidth=2.6, label="this band alone"),
        Line2D([], [], color=ORANGE, linewidth=2.6, linestyle=":", label="all but this band"),
        Line2D([], [], color=INK, linewidth=0.9, label="all bands"),
        Line2D([], [], color=SOFT, linewidth=1.1, linestyle="--", label="chance"),
    ]
    ax.legend(handles=handles, ncols=4,
              loc="upper center", bbox_to_anchor=(0.5, -0.22), frameon=False, fontsize=SMALL_PT,
              labelcolor=INK, handlelength=1.6, columnspacing=1.2)  # fmt: skip
    return ax
