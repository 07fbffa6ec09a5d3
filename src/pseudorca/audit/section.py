"""The result of an audit as parts of a page: the verdict first, then every control.

The module computes nothing: all numbers come from the table ``audits``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pseudorca.audit.figures import ForestRow, answers_bar, band_intervals, excess_lines, forest
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
)
from pseudorca.pages.plots import class_colours, legend
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


def verdict_blocks(
    found: Mapping[str, Any], n_audits: int, warnings: Sequence[Block]
) -> list[Block]:
    """The result of one audit, as blocks of a page.

    Parameters
    ----------
    found : mapping, a row of ``audits``, parsed
    n_audits : int, the number of audits in the project
    warnings : sequence of Block, shown under the verdict

    Returns
    -------
    list of Block
    """
    blocks: list[Block] = [
        _headline(found),
        Text(f"{found['summary'].partition(' On encounters')[0]} {_IN_WORDS[found['verdict']]}"),
        *warnings,
        _forest(found),
        _numbers(found),
        Text(found["explained"]["facts and background"]),
        Text(found["explained"]["beside evaluate"]),
    ]
    for name in ("leakage gap", "recorder in the embeddings"):
        if name in found["explained"]:
            blocks.append(Text(found["explained"][name]))
    if "swap" in found:
        blocks += [Heading("Backgrounds swapped"), *_swap(found)]
    if "bands" in found:
        blocks += [Heading("Which frequencies"), *_bands(found)]
    blocks += [Heading("Can these data tell?"), *_association(found)]
    return [*blocks, _settings(found, n_audits)]


def _headline(found: Mapping[str, Any]) -> Headline:
    rows = {row["name"]: row for row in found["controls"]}
    model = rows["model"]
    compared = []
    if found["best_control"] is not None:
        best, gain = rows[found["best_control"]], found["difference"]
        compared.append(
            f"The best control without any animal in it, {title(best['name'])}: {best['value']:.2f}, "
            f"95 % interval {best['low']:.2f} to {best['high']:.2f}. The classifier minus the best "
            f"control: {gain['value']:+.2f}, 95 % interval {gain['low']:+.2f} to {gain['high']:+.2f}."
        )
    return Headline(
        verdict=_VERDICTS[found["verdict"]],
        value=Number(model["value"]),
        what="balanced accuracy of the classifier on encounters never heard",
        low=Number(model["low"]),
        high=Number(model["high"]),
        method=model["interval_method"],
        baseline=Number(found["chance"]),
        about=f"{describe_split(found['split'])}; {plural(found['n_encounters'], 'encounter')} of "
        f"{plural(len(found['classes']), 'class')}; {found['n_clips']:,} clips; "
        f"{Recipe.from_settings(found['recipe']).describe()}",
        compared=compared,
    )


def _forest(found: Mapping[str, Any]) -> Chart:
    order = {kind: place for place, kind in enumerate(("model", "nuisance", "shown", "optimistic"))}
    ordered = sorted(found["controls"], key=lambda row: order[row["kind"]])
    rows = [
        ForestRow(title(r["name"]), r["kind"], r["value"], r["low"], r["high"]) for r in ordered
    ]
    chart_figure = figure(1.1 + 0.29 * len(rows), width_in=9.6)
    forest(chart_figure.subplots(), rows, chance=found["chance"])
    spoken = "; ".join(f"{r.name}: {r.value:.2f}, {r.low:.2f} to {r.high:.2f}" for r in rows)
    return chart(
        chart_figure,
        description=f"Balanced accuracy by encounter, classifier and controls. {spoken}.",
        caption="How well encounters never heard are named, with 95 % intervals: by the classifier, "
        "and by the same kind of classifier given nothing but what the row says. Filled squares hold "
        "no animal; if they do as well as the classifier, it need not have heard one.",
    )


def _numbers(found: Mapping[str, Any]) -> Fold:
    rows = [
        (
            title(row["name"]),
            "yes" if row["kind"] == "nuisance" else "",
            Number(row["value"], 3),
            _between(row),
            Number(row["p"], 3),
        )
        for row in found["controls"]
    ]
    caption = (
        "Own p: how often the row alone does as well when labels are shuffled between encounters. With "
        "several controls one of them is lucky more often than one alone would be"
    )
    if found["p_nuisance"] is not None:
        caption += (
            f", so the verdict takes the joint p of those that vote, {found['p_nuisance']:.3f}: how "
            "often the best of them, whichever it is in a shuffle, does as well as the best one here"
        )
    columns = ("", "votes", "balanced accuracy", "95 % interval", "own p")
    return Fold("Classifier and controls in numbers", [Table(columns, rows, caption=f"{caption}.")])


def _swap(found: Mapping[str, Any]) -> list[Block]:
    swap = found["swap"]
    explanation = Text(found["explained"]["background swap"])
    if swap is None:
        return [explanation]
    before, rebuilt = swap["right_before"]["value"], swap["right_rebuilt"]["value"]
    rows: list[tuple[str, dict[str, float]]] = [
        ("as recorded", {"animal": before, "neither": 1 - before}),
        ("taken apart, own background", {"animal": rebuilt, "neither": 1 - rebuilt}),
        (
            "background of another class",
            {kind: swap[kind]["value"] for kind in ("animal", "background", "neither")},
        ),
    ]
    chart_figure = figure(1.75, width_in=8.2)
    answers_bar(chart_figure.subplots(), rows)
    caption = (
        "What classifiers that heard neither encounter say of a clip. Plain: the label of its signals. "
        "Hatched: the label of the background that was put under them. Dotted: another label. The "
        "signals are what stands out from the clip's own background; the second row shows what taking "
        "a clip apart costs by itself."
    )
    return [explanation, chart(chart_figure, description=caption, caption=caption)]


def _bands(found: Mapping[str, Any]) -> list[Block]:
    bands = found["bands"]
    if bands is None:
        return [Text(found["explained"]["bands"])]
    labels = list(bands["signal_excess_db"])
    colours = class_colours(labels)
    chart_figure = figure(3.7)
    left, right = chart_figure.subplots(1, 2)
    edges = [hz / 1000 for hz in bands["signal_edges_hz"]]
    excess_lines(left, edges, bands["signal_excess_db"], colours=colours)
    legend(
        left, colours, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=min(3, len(labels))
    )
    model = next(row for row in found["controls"] if row["kind"] == "model")
    band_intervals(right, bands["bands"], chance=found["chance"], whole=model["value"])
    caption = (
        "Left: by how much frames with signals exceed frames without, the median over the clips of "
        "each class. Right: balanced accuracy by encounter with pictures that show one band only, and "
        "with pictures that show all but it (upright lines: 95 % intervals). An answer from where no "
        "animal sounds is not the animals'."
    )
    rows = [
        (
            f"{band['low_hz'] / 1000:.1f} to {band['high_hz'] / 1000:.1f}",
            Number(band["alone"]["value"]), _between(band["alone"]),
            Number(band["left_out"]["value"]), _between(band["left_out"]),
        )
        for band in bands["bands"]
    ]  # fmt: skip
    return [
        Text(found["explained"]["bands"]),
        chart(chart_figure, description=caption, caption=caption),
        Fold(
            "Bands in numbers",
            [Table(("band, kHz", "alone", "95 % interval", "left out", "95 % interval"), rows)],
        ),
    ]


def _association(found: Mapping[str, Any]) -> list[Block]:
    rows: list[tuple[Cell, ...]] = [
        (
            fact["name"],
            fact["n_values"],
            fact["n_shared"],
            Number(fact["cramers_v"]),
        )
        for fact in found["associations"]
    ]
    blocks: list[Block] = [
        Text(found["explained"]["association"]),
        Table(
            ("what", "values", "of these with more than one label", "Cramér's V"),
            rows,
            caption="How the label goes with what is not the animal, counted in encounters. Cramér's V "
            "is corrected for chance: 0, nothing to do with the label; 1, it gives the label away.",
        ),
    ]
    for fact in found["associations"]:
        if fact["name"] in ("platform", "recorder"):
            cells: list[tuple[Cell, ...]] = [
                (value, *counts) for value, counts in fact["encounters"].items()
            ]
            caption = f"Encounters per {fact['name']} and label."
            blocks.append(folded(Table((fact["name"], *fact["labels"]), cells, caption=caption)))
    return blocks


def _settings(found: Mapping[str, Any], n_audits: int) -> Fold:
    options, background = found["options"], found["background_settings"]
    p_nuisance = found["p_nuisance"]
    settings = [
        ("verdict", found["verdict"]),
        ("p of the classifier", f"{found['p_model']:.4f}"),
        ("joint p of the controls that vote", "–" if p_nuisance is None else f"{p_nuisance:.4f}"),
        ("smallest p possible", f"{found['smallest_p']:.4f}"),
        ("permutations", f"{found['n_permutations']}{' (all)' if found['enumerated'] else ''}"),
        ("permuted within", options["within"] or "everything"),
        ("seed", str(options["seed"])),
        ("clips per encounter", f"at most {options['clips_per_encounter']}"),
        ("embedder", found["recipe"]["embedder_id"]),
        ("audited", found["time_utc"][:16].replace("T", " ") + " UTC"),
        ("audits kept", str(n_audits)),
        *((f"background: {key}", str(value)) for key, value in background.items()),
        *found["versions"].items(),
    ]
    by_background = found["by_background_alone"]
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
    if not np.isfinite(row["value"]):
        return "–"
    return f"{row['low']:.2f} to {row['high']:.2f}"
