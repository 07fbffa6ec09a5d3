"""The report of the study: both columns side by side, in one HTML file without other files.

Each section is a generator of the blocks of the section.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from pseudorca.pages.blocks import (
    Block,
    Cell,
    Facts,
    Fold,
    Heading,
    Notices,
    Number,
    Section,
    Settings,
    Table,
    Text,
)
from pseudorca.pages.writing import write_page as write_html
from pseudorca.store import package_versions
from pseudorca.study import figures
from pseudorca.study.published import (
    MOMENTUM_ACCURACIES,
    RATE_ACCURACIES,
    contradictions,
    recall_interval,
)
from pseudorca.study.settings import NAMES
from pseudorca.study.tables import KEYS, Study
from pseudorca.study.words import side_by_side, what_changed

_MOST_RECALLS = 4
"""Most classes for which tables have a recall of each class."""
_PUBLISHED = (("accuracy", 4), ("precision", 4), ("recall", 4), ("balanced_accuracy", 3))
"""Columns of the as-published column, and the digits that are shown."""


def write_page(study: Study) -> tuple[int, list[str]]:
    """Draw the figures and write the report to ``report.html``.

    Parameters
    ----------
    study : Study

    Returns
    -------
    n_figures : int
    notices : list of str
    """
    notices = list(_notices(study))
    sections = [
        Section(anchor, title, blocks)
        for anchor, title, section in _SECTIONS
        if (blocks := list(section(study)))
    ]
    if notices:
        sections[0].blocks.append(Notices(notices))
    title = "The original study, repeated"
    written = write_html(sections, study.out / "report.html", title=title, notices=notices)
    return int(written["n_figures"]), notices


def _notices(study: Study) -> Iterator[str]:
    options = study.options
    if study.published is None:
        yield (
            "The study's numbers presuppose exactly two classes (one is positive), so with "
            f"{len(study.classes)} classes there is no as-published column: everything here is told "
            "straight."
        )
    yield from study.straight.notices
    for name, why in study.networks.not_adapted.items():
        yield f"{name} was run as pretrained where training mode was asked for: {why}"
    local = [f"{name} ({file})" for name, file in options.weights.items() if file != "official"]
    if local:
        yield (
            f"Local weights, not the study's: {', '.join(local)}. Numbers of these networks are not "
            "those of the official weights."
        )
    if options.max_per_class is not None:
        yield (
            f"A part of the recordings only: at most {options.max_per_class} a class "
            "(--max-per-class)."
        )
    yield from study.material.notices


def _answer(study: Study) -> Iterator[Block]:
    for sentence in what_changed(study):
        yield Text(sentence)
    yield Table(
        ("final model", "as published", "told straight"), side_by_side(study),
        caption="The final model in both columns. In brackets: 95 % interval over encounters.",
    )  # fmt: skip
    yield figures.overview(study)


def _switches(study: Study) -> Iterator[Block]:
    published = study.published
    if published is None:
        return
    approximated = ", training mode by its fast approximation" if published.exact else ""
    yield Text(
        "Each switch repeats something that the study's scripts did and that shaped its numbers. "
        f"On in this run: {_listed(published.switches)}. The second table is the test of the "
        f"final model ({study.options.tuned}) with one switch alone turned off{approximated}."
    )
    table = study.tables["switches"]
    columns = ["switch", "what_the_scripts_did", "what_it_does_to_the_result"]
    yield Table(
        [column.replace("_", " ") for column in columns],
        table.loc[table["what_the_scripts_did"].notna(), columns].to_numpy().tolist(),
    )
    tested = table[table["test_n"].notna()]
    base = tested["test_balanced_accuracy"].iloc[0]
    yield Table(
        ("turned off", "test files", "accuracy", "precision", "recall", "balanced accuracy", "change",
         "rate", "momentum"),
        [
            ("nothing" if row["switch"].startswith("(") else row["switch"], int(row["test_n"]),
             *(Number(row[f"test_{column}"], 3) for column, _ in _PUBLISHED),
             Number(row["test_balanced_accuracy"] - base, 3),
             f"{row['best_rate']:g}", f"{row['best_momentum']:g}")
            for row in tested.to_dict("records")
        ],
        caption="The final model's test with one switch turned off at a time. Change: of the "
        "balanced accuracy. first-clip changes curves only (figures 4.2 and 4.4), "
        "positive-class only which class precision and recall are of.",
    )  # fmt: skip
    if "cannot_be_turned_off" in table:
        reasons = table.dropna(subset="cannot_be_turned_off").to_dict("records")
        yield Notices(
            [f"{row['switch']} cannot be off: {row['cannot_be_turned_off']}" for row in reasons]
        )
    if published.closeness:
        names = ("training mode", "adapted once", "as pretrained")
        yield Table(
            ("network", *names, "named alike: adapted", "as pretrained",
             "probability apart: adapted", "as pretrained"),
            [
                (row["network"], *(Number(row[name], 3) for name in names),
                 *(Number(100 * row[f"{name}: named alike"], 0, " %") for name in names[1:]),
                 *(Number(row[f"{name}: probability apart"], 3) for name in names[1:]))
                for row in published.closeness
            ],
            caption="Training mode against its fast approximation: validation accuracy of Table "
            "4.1 with a pass per clip and epoch, with statistics adapted once, and as pretrained; "
            "share of validation clips named alike, and mean difference of probabilities.",
        )  # fmt: skip
    yield Text(
        "Not imitated: the first picture's other size, 24-bit samples that wrap, and the pickled "
        "model. They would damage files or numbers without belonging to what the study says."
    )


def _data(study: Study) -> Iterator[Block]:
    material, published = study.material, study.published
    facts: list[tuple[str, Cell]] = []
    for label, of_class in material.clips.groupby("label"):
        facts.append((f"{label} files", len(of_class)))
        facts.append((f"{label} encounters", int(of_class["encounter"].nunique())))
    yield Facts([*facts, ("Unknown files", len(material.unknown))])
    if published is not None:
        rows = []
        for name in ("training", "validation", "test"):
            counts = np.bincount(material.truth[getattr(published.parts, name)], minlength=2)
            rows.append((name, int(counts.sum()), *counts.tolist()))
        yield Table(
            ("part", "files", *material.classes), rows, caption="The study's split, as published."
        )
    yield from figures.recording(
        study, material.classes[published.positive if published is not None else 0]
    )
    yield figures.first_clips(study)
    yield Text(
        "All pictures as PNG files, none overwriting another: pseudorca spectrograms --project "
        f"{study.out / 'project'} --out FOLDER"
    )


def _networks(study: Study) -> Iterator[Block]:
    straight, published = study.straight, study.published
    split = straight.split
    kept = "encounters whole" if straight.encounters_whole else "moments whole, encounters torn"
    again = f", {split.n_repeats} times" if split.n_repeats > 1 else ""
    yield Text(
        "Each network as a fixed feature extractor under one new layer (SGD, learning rate "
        f"0.001, momentum 0.9, a tenth every 7 epochs, batches of 64, {study.options.n_epochs} "
        "epochs, the epoch of the best validation accuracy). Here and below, as published: on "
        "the validation part; in brackets the balanced accuracy of the same answers, which was "
        f"not printed. Told straight: {split.n_folds} folds{again}, {kept}, every setting from a "
        "fresh start; 95 % intervals over encounters."
    )
    yield from _both_columns(study, "table_4_1")
    if published is not None:
        caption = "Table 5.1. Confusion on the validation part, as published. Rows: truth."
        yield from figures.confusions(study, "table_5_1_as_published", published.networks, caption)
    caption = (
        "The same told straight, by clip (channels of a moment count once), mean over repeats."
    )
    yield from figures.confusions(study, "table_5_1_told_straight", straight.networks, caption)


def _imbalance(study: Study) -> Iterator[Block]:
    yield figures.batches(study)
    yield from _both_columns(study, "table_4_2")
    if study.published is not None:
        yield figures.published_curves(study, study.published)
    yield from figures.straight_curves(study)


def _settings(study: Study) -> Iterator[Block]:
    yield Heading("Learning rates")
    yield from _both_columns(study, "table_4_3_rates")
    yield Heading("Momenta at the best rate")
    yield from _both_columns(study, "table_4_3_momenta")
    yield figures.losses(study)
    yield Fold("Loss curves of every setting", list(figures.all_losses(study)))


def _final(study: Study) -> Iterator[Block]:
    straight, published = study.straight, study.published
    yield Text(
        "As published: the best setting on the test part. Told straight: rate and momentum are "
        "chosen inside each training side, so that what is tested was not chosen on it; below it "
        "pseudorca's own head on the same embeddings, and a classifier that hears nothing."
    )
    yield from _both_columns(study, "table_4_4")
    if published is not None:
        tuning = published.tuning
        tested = {"weighted, validation": tuning.weighted, "final model, test": tuning.test}
        caption = "Table 5.2 and the confusion of Table 4.4, as published. Rows: truth."
        yield from figures.confusions(study, "table_5_2_as_published", tested, caption)
    models = {"weighted sampler": straight.tuning.weighted, "final model": straight.final}
    caption = "The same told straight, by clip, mean over repeats."
    yield from figures.confusions(study, "table_5_2_told_straight", models, caption)
    yield Heading("Table 4.5: row by row")
    yield from _both_columns(study, "table_4_5")


def _unknown(study: Study) -> Iterator[Block]:
    table = study.tables["table_4_6"]
    if table.empty:
        yield Text("There are no unknown recordings.")
        return
    yield Text(
        "As published, in the study's words. Told straight: what the same kind of model, trained "
        "afresh on all labelled files, says of the moment and of the files chosen of its "
        "encounter, calibrated on encounters it had not heard, with classes taken as equally "
        "frequent. Neither model knows an answer other than these classes."
    )
    has_published = study.published is not None
    rows = [
        (
            str(row["path"]),
            *([str(row.get("published_sentence", "–"))] if has_published else []),
            f"{row['straight_decision']} {row['straight_probability']:.2f}",
            f"{row['straight_encounter_decision']} {row['straight_encounter_probability']:.2f}",
            "yes" if row["encounter_in_training"] else "no",
        )
        for row in table.to_dict("records")
    ]
    columns = ["file", *(["as published"] if has_published else [])]
    columns += ["told straight: file", "encounter", "encounter in training"]
    yield Table(columns, rows[:30], n_more=len(rows) - 30, more="tables/table_4_6.csv")
    if has_published:
        same = table["published_decision"] == table["straight_decision"]
        yield Text(f"Both columns name {int(same.sum())} of {len(table)} alike.")


def _own_numbers(study: Study) -> Iterator[Block]:
    rows = study.tables["the_study_itself"].to_dict("records")
    yield Text(
        "What the study of 2024 printed (564 clips in validation, 564 in the test), beside what "
        "follows from its confusion matrices by the arithmetic that this report uses."
    )
    yield Table(
        ("table", "model", "printed: accuracy", "precision", "recall", "from the matrix: accuracy",
         "precision", "recall", "recall of Insular", "balanced accuracy", "majority"),
        [
            (row["table"], row["model"], *(Number(row[key], digits) for key, digits in (
                ("printed_accuracy", 4), ("printed_precision", 4), ("printed_recall", 4),
                ("accuracy", 4), ("precision", 4), ("recall", 4), ("insular_recall", 2),
                ("balanced_accuracy", 2), ("majority_accuracy", 3))))
            for row in rows
        ],
        caption="A matrix that the study does not print is filled in where its row leaves only "
        "one possibility.",
    )  # fmt: skip
    yield Notices(contradictions(rows))
    low, high = recall_interval(48, 74)
    yield Text(
        f"Recall of Insular in the test, 48 of 74, has a 95 % interval of {low:.2f} to "
        f"{high:.2f} if clips are taken as independent, which those of an encounter are not."
    )
    printed = [
        *((f"learning rate {rate:g}", value) for rate, value in RATE_ACCURACIES.items()),
        *((f"momentum {momentum:g}", value) for momentum, value in MOMENTUM_ACCURACIES.items()),
    ]
    yield Table(
        ("setting", "accuracy printed", "clips of 564"),
        [(name, Number(value, 4), Number(value * 564, 1)) for name, value in printed],
        caption="Table 4.3 of the study. Its settings differ by at most 20 clips, each begun with "
        "the weights that the one before had left.",
    )


def _provenance(study: Study) -> Iterator[Block]:
    networks, options, split = study.networks, study.options, study.straight.split
    rows = []
    for name in options.backbones:
        network = networks.network(name, "tight", adapted=False)
        backbone = network.embedder.backbone.description()
        rows.append((
            name, backbone["weights_source"], backbone["weights_hash"][:12], backbone["licence"],
            int(backbone["embedding_size"]), networks.n_passes.get(name, 0),
        ))  # fmt: skip
    yield Table(
        ("network", "weights", "SHA-256", "licence", "numbers", "pictures passed in this run"),
        rows,
        caption="Weights in use, and pictures that passed in this run (0: all were kept).",
    )
    yield Settings([
        ("epochs", str(options.n_epochs)),
        ("switches", _listed(options.as_published)),
        ("training mode", "a pass per clip and epoch" if options.exact_training_mode
         else "statistics adapted once"),
        ("told straight: split", split.name),
        ("folds", str(split.n_folds)),
        ("repeats", str(split.n_repeats)),
        ("a class against the rest", options.against_rest or "no"),
        ("recordings per class", str(options.max_per_class or "all")),
    ])  # fmt: skip
    yield Heading("Packages")
    yield Settings(list(package_versions().items()))
    yield Heading("Time")
    took = sorted(study.took.items(), key=lambda item: -item[1])
    yield Table(
        ("stage", "seconds"),
        [(stage, Number(seconds, 1)) for stage, seconds in took[:20]],
        caption="Of this run; what was kept from an earlier one took no time.",
    )
    yield Text(
        f"Tables as CSV: {study.out / 'tables'}. Figures as PNG: {study.out / 'figures'}. The "
        f"project, for every other verb: {study.out / 'project'}."
    )


_SECTIONS: tuple[tuple[str, str, Callable[[Study], Iterator[Block]]], ...] = (
    ("answer", "What the study says, and what holds", _answer),
    ("switches", "What the scripts did: the switches", _switches),
    ("data", "Recordings and pictures", _data),
    ("networks", "Table 4.1: the networks", _networks),
    ("imbalance", "Class imbalance: figures 3.2, 4.2 to 4.4, Table 4.2", _imbalance),
    ("settings", "Table 4.3: learning rates and momenta", _settings),
    ("final", "Tables 4.4, 4.5 and 5.2: the final model", _final),
    ("unknown", "Table 4.6: unknown recordings", _unknown),
    ("own-numbers", "The study's own numbers", _own_numbers),
    ("provenance", "How this was made", _provenance),
)


def _both_columns(study: Study, name: str) -> Iterator[Block]:
    """Make a table of both columns side by side, and list the failures below it."""
    frame, key, published = study.tables[name], KEYS[name], study.published
    classes = study.classes
    columns = [key.replace("_", " ")]
    majority = ""
    if published is not None:
        label = classes[published.positive]
        columns += [
            "as published: accuracy", f"precision of {label}", f"recall of {label}",
            "(its balanced accuracy)",
        ]  # fmt: skip
        shares = frame.get("published_majority_accuracy", pd.Series()).dropna()
        if len(shares):
            ends = dict.fromkeys(f"{value:.4f}" for value in (shares.min(), shares.max()))
            majority = f"{' to '.join(ends)} as published, "
    columns += ["told straight: balanced accuracy by clip", "by encounter", "accuracy"]
    recalls = classes if len(classes) <= _MOST_RECALLS else []
    columns += [f"recall of {label}" for label in recalls]
    rows: list[list[Cell]] = []
    for row in frame.to_dict("records"):
        cells: list[Cell] = [_shown(row[key])]
        if published is not None:
            cells += [
                "failed" if pd.notna(row.get("published_failed"))
                else Number(row.get(f"published_{column}"), digits)
                for column, digits in _PUBLISHED
            ]  # fmt: skip
        cells += [_interval(row, "clip"), _interval(row, "encounter")]
        cells.append(Number(row.get("straight_clip_accuracy"), 3))
        cells += [Number(row.get(f"straight_clip_recall_{label}"), 2) for label in recalls]
        rows.append(cells)
    control = study.straight.no_sound.clip
    yield Table(
        columns, rows,
        caption=f"Always naming the most frequent class: accuracy {majority}"
        f"{control['majority_accuracy']:.3f} told straight, balanced accuracy "
        f"{control['majority_baseline']:.2f}.",
    )  # fmt: skip
    sides = {"published_failed": "as published", "straight_failed": "told straight"}
    failures = [
        f"{_shown(row[key])}, {side}: {row[column]}"
        for column, side in sides.items()
        for row in frame.to_dict("records")
        if pd.notna(row.get(column))
    ]
    if failures:
        yield Notices(failures)


def _interval(row: Mapping[Any, Any], unit: str) -> Cell:
    if pd.notna(row.get("straight_failed")):
        return "failed"
    value, low, high = (
        row.get(f"straight_{unit}_{key}", np.nan)
        for key in ("balanced_accuracy", "ci_low", "ci_high")
    )
    return "–" if np.isnan(value) else f"{value:.3f} [{low:.2f}, {high:.2f}]"


def _listed(switches: frozenset[str]) -> str:
    return ", ".join(name for name in NAMES if name in switches) or "none"


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
