"""The report of the study: both columns side by side, in one HTML file that needs nothing else."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pseudorca.features.backbones import Backbone
from pseudorca.reporting.blocks import (
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
from pseudorca.reporting.report import write_page as write_html
from pseudorca.store import package_versions
from pseudorca.study.as_published import Published
from pseudorca.study.figures import Figures
from pseudorca.study.material import Material
from pseudorca.study.networks import Networks
from pseudorca.study.options import Folders, StudyOptions
from pseudorca.study.published import (
    MOMENTA,
    MOMENTUM_ACCURACIES,
    RATE_ACCURACIES,
    RATES,
    recall_interval,
)
from pseudorca.study.straight import Honest, Straight
from pseudorca.study.switches import NAMES
from pseudorca.study.tables import Tables
from pseudorca.study.words import contradictions, side_by_side, what_changed

_MOST_RECALLS = 4
"""Classes up to which tables have a recall of each."""

_NOT_TWO = (
    "The study's numbers presuppose exactly two classes (one is positive), so with {n} classes there "
    "is no as-published column: everything here is told straight."
)


class _Page:
    """What all sections draw on."""

    def __init__(
        self,
        folders: Folders,
        material: Material,
        options: StudyOptions,
        networks: Networks,
        straight: Straight,
        published: Published | None,
        tables: Tables,
        took: Mapping[str, float],
    ) -> None:
        self.folders, self.material, self.options = folders, material, options
        self.networks, self.straight, self.published = networks, straight, published
        self.tables, self.took = tables, took
        self.figures = Figures(folders.figures)

    @property
    def classes(self) -> list[str]:
        return self.material.classes


def write_page(
    folders: Folders,
    material: Material,
    options: StudyOptions,
    networks: Networks,
    straight: Straight,
    published: Published | None,
    tables: Tables,
    took: Mapping[str, float],
) -> dict[str, Any]:
    """Draw the figures and write the report.

    Returns
    -------
    dict of JSON values, what ``reproduce --json`` prints
    """
    page = _Page(folders, material, options, networks, straight, published, tables, took)
    notices = _notices(page)
    rows = side_by_side(material, straight, published)
    sentences = what_changed(material, straight, published)
    sections = [
        _answer(page, rows, sentences, notices),
        *([_switches(page, published)] if published is not None else []),
        _data(page),
        _networks(page),
        _imbalance(page),
        _settings(page),
        _final(page),
        _unknown(page),
        _own_numbers(page),
        _provenance(page),
    ]
    title = "The original study, repeated"
    written = write_html(sections, folders.report, title=title, notices=notices)
    return {
        "report": str(folders.report),
        "tables": str(folders.tables),
        "figures": str(folders.figures),
        "project": str(folders.project),
        "classes": material.classes,
        "n_clips": len(material.clips),
        "n_figures": written["n_figures"],
        "as_published": sorted(published.switches) if published is not None else None,
        "side_by_side": [list(row) for row in rows],
        "sentences": sentences,
        "notices": notices,
        "n_passes": networks.n_passes,
        "took_s": {text: round(seconds, 2) for text, seconds in took.items()},
    }


def _notices(page: _Page) -> list[str]:
    found = []
    if page.published is None:
        found.append(_NOT_TWO.format(n=len(page.classes)))
    found += page.straight.notices
    found += [
        f"{name} was run as pretrained where training mode was asked for: {why}"
        for name, why in page.networks.not_adapted.items()
    ]
    local = [
        f"{name} ({file})" for name, file in page.options.weights.items() if file != "official"
    ]
    if local:
        found.append(
            f"Local weights, not the study's: {', '.join(local)}. Numbers of these networks are not "
            "those of the official weights."
        )
    if page.options.max_per_class is not None:
        found.append(
            f"A part of the recordings only: at most {page.options.max_per_class} a class "
            "(--max-per-class)."
        )
    return found + page.material.notices


def _answer(
    page: _Page, rows: Sequence[Sequence[str]], sentences: Sequence[str], notices: Sequence[str]
) -> Section:
    blocks: list[Block] = [Text(sentence) for sentence in sentences]
    blocks.append(
        Table(
            ("final model", "as published", "told straight"),
            [list(row) for row in rows],
            caption="The final model in both columns. In brackets: 95 % interval over encounters.",
        )
    )
    blocks.append(page.figures.overview(page.material, page.straight, page.published))
    if notices:
        blocks.append(Notices(notices))
    return Section("answer", "What the study says, and what holds", blocks)


def _switches(page: _Page, published: Published) -> Section:
    section = Section("switches", "What the scripts did: the switches")
    section.blocks.append(
        Text(
            "Each switch repeats something that the study's scripts did and that shaped its numbers. "
            f"On in this run: {_listed(published.switches)}. The second table is the test of the "
            f"final model ({published.tuned}) with one switch alone turned off"
            + (", training mode by its fast approximation." if published.exact else ".")
        )
    )
    table = page.tables["switches"]
    section.blocks.append(
        Table(
            ("switch", "what the scripts did", "what it does to the result"),
            [
                (str(row["switch"]), str(row["what_the_scripts_did"]),
                 str(row["what_it_does_to_the_result"]))
                for row in table.to_dict("records")
                if not str(row["switch"]).startswith("(")
            ],
        )
    )  # fmt: skip
    columns = ("accuracy", "precision", "recall", "balanced_accuracy")
    tested = table[table["test_n"].notna()] if "test_n" in table else table.iloc[:0]
    if len(tested):
        first = tested.iloc[0]
        section.blocks.append(
            Table(
                ("turned off", "test files", "accuracy", "precision", "recall", "balanced accuracy",
                 "change", "rate", "momentum"),
                [
                    ("nothing" if str(row["switch"]).startswith("(") else str(row["switch"]),
                     int(row["test_n"]),
                     *(Number(row[f"test_{column}"], 3) for column in columns),
                     Number(row["test_balanced_accuracy"] - first["test_balanced_accuracy"], 3),
                     f"{row['best_rate']:g}", f"{row['best_momentum']:g}")
                    for row in tested.to_dict("records")
                ],
                caption="The final model's test with one switch turned off at a time. Change: of the "
                "balanced accuracy. first-clip changes curves only (figures 4.2 and 4.4), "
                "positive-class only which class precision and recall are of.",
            )
        )  # fmt: skip
    if "cannot_be_turned_off" in table:
        reasons = table[table["cannot_be_turned_off"].notna()].to_dict("records")
        section.blocks.append(
            Notices(
                [f"{row['switch']} cannot be off: {row['cannot_be_turned_off']}" for row in reasons]
            )
        )
    if published.closeness:
        names = ("training mode", "adapted once", "as pretrained")
        section.blocks.append(
            Table(
                ("network", *names, "named alike: adapted", "as pretrained",
                 "probability apart: adapted", "as pretrained"),
                [
                    (row["network"], *(Number(row[name], 3) for name in names),
                     Number(100 * row["adapted once: named alike"], 0, " %"),
                     Number(100 * row["as pretrained: named alike"], 0, " %"),
                     Number(row["adapted once: probability apart"], 3),
                     Number(row["as pretrained: probability apart"], 3))
                    for row in published.closeness
                ],
                caption="Training mode against its fast approximation: validation accuracy of Table "
                "4.1 with a pass per clip and epoch, with statistics adapted once, and as pretrained; "
                "share of validation clips named alike, and mean difference of probabilities.",
            )
        )  # fmt: skip
    section.blocks.append(
        Text(
            "Not imitated: the first picture's other size, 24-bit samples that wrap, and the pickled "
            "model. They would damage files or numbers without belonging to what the study says."
        )
    )
    return section


def _data(page: _Page) -> Section:
    material, published = page.material, page.published
    section = Section("data", "Recordings and pictures")
    facts: list[tuple[str, Cell]] = []
    for label in page.classes:
        mine = material.clips[material.clips["label"] == label]
        facts.append((f"{label} files", len(mine)))
        facts.append((f"{label} encounters", int(mine["encounter"].nunique())))
    facts.append(("Unknown files", len(material.unknown)))
    section.blocks.append(Facts(facts))
    if published is not None:
        parts = published.parts
        rows = []
        for name in ("training", "validation", "test"):
            labels = material.clips["label"].iloc[getattr(parts, name)]
            rows.append(
                (name, len(labels), *(int((labels == label).sum()) for label in page.classes))
            )
        section.blocks.append(
            Table(
                ("part", "files", *page.classes), rows, caption="The study's split, as published."
            )
        )
    label = page.classes[published.positive if published is not None else 0]
    section.blocks += page.figures.recording(material, label)
    switches = published.switches if published is not None else frozenset()
    section.blocks += page.figures.first_clips(material, switches)
    section.blocks.append(
        Text(
            "All pictures as PNG files, none overwriting another: pseudorca spectrograms --project "
            f"{page.folders.project} --out FOLDER"
        )
    )
    return section


def _networks(page: _Page) -> Section:
    section = Section("networks", "Table 4.1: the networks")
    section.blocks.append(
        Text(
            "Each network as a fixed feature extractor under one new layer (SGD, learning rate "
            f"0.001, momentum 0.9, a tenth every 7 epochs, batches of 64, {page.options.n_epochs} "
            "epochs, the epoch of the best validation accuracy). Here and below, as published: on "
            "the validation part; in brackets the balanced accuracy of the same answers, which was "
            f"not printed. Told straight: {_how(page.straight)}; 95 % intervals over encounters."
        )
    )
    section.blocks += _both(page, "table_4_1", "network")
    if page.published is not None:
        counts = {
            name: page.published.validation(training).confusion
            for name, training in page.published.networks.items()
        }
        caption = "Table 5.1. Confusion on the validation part, as published. Rows: truth."
        section.blocks.append(
            page.figures.confusions("table_5_1_as_published", counts, page.classes, caption)
        )
    told = {
        name: honest.clip["confusion"]
        for name, honest in page.straight.networks.items()
        if isinstance(honest, Honest)
    }
    caption = (
        "The same told straight, by clip (channels of a moment count once), mean over repeats."
    )
    section.blocks.append(
        page.figures.confusions("table_5_1_told_straight", told, page.classes, caption)
    )
    return section


def _imbalance(page: _Page) -> Section:
    section = Section("imbalance", "Class imbalance: figures 3.2, 4.2 to 4.4, Table 4.2")
    rows = page.tables["figures_3_2_and_4_3"]
    section.blocks.append(page.figures.batches(rows, page.classes))
    section.blocks += _both(page, "table_4_2", "model")
    if page.published is not None:
        section.blocks.append(page.figures.published_curves(page.published, page.classes))
    curves = page.figures.straight_curves(page.material, page.straight)
    if curves is not None:
        section.blocks.append(curves)
    return section


def _settings(page: _Page) -> Section:
    section = Section("settings", "Table 4.3: learning rates and momenta")
    section.blocks += [
        Heading("Learning rates"),
        *_both(page, "table_4_3_rates", "learning_rate"),
        Heading("Momenta at the best rate"),
        *_both(page, "table_4_3_momenta", "momentum"),
        page.figures.losses(page.straight, page.published),
    ]
    every: list[Block] = []
    if page.published is not None:
        t = page.published.tuning
        every.append(
            page.figures.all_losses(
                "table_4_3_losses_as_published", "as published", t.rates, t.momenta
            )
        )
    s = page.straight
    every.append(
        page.figures.all_losses(
            "table_4_3_losses_told_straight", "told straight", s.rates, s.momenta
        )
    )
    section.blocks.append(Fold("Loss curves of every setting", every))
    return section


def _final(page: _Page) -> Section:
    section = Section("final", "Tables 4.4, 4.5 and 5.2: the final model")
    section.blocks.append(
        Text(
            "As published: the best setting on the test part. Told straight: rate and momentum are "
            "chosen inside each training side, so that what is tested was not chosen on it; below it "
            "pseudorca's own head on the same embeddings, and a classifier that hears nothing."
        )
    )
    section.blocks += _both(page, "table_4_4", "model")
    if page.published is not None:
        tuning = page.published.tuning
        counts = {
            "weighted, validation": page.published.validation(tuning.weighted).confusion,
            "final model, test": tuning.test.confusion,
        }
        section.blocks.append(
            page.figures.confusions(
                "table_5_2_as_published", counts, page.classes,
                "Table 5.2 and the confusion of Table 4.4, as published. Rows: truth.",
            )
        )  # fmt: skip
    told = {
        name: honest.clip["confusion"]
        for name, honest in (
            ("weighted sampler", page.straight.weighted), ("final model", page.straight.final),
        )
        if isinstance(honest, Honest)
    }  # fmt: skip
    if told:
        caption = "The same told straight, by clip, mean over repeats."
        section.blocks.append(
            page.figures.confusions("table_5_2_told_straight", told, page.classes, caption)
        )
    section.blocks += [Heading("Table 4.5: row by row"), *_both(page, "table_4_5", "row")]
    return section


def _unknown(page: _Page) -> Section:
    section = Section("unknown", "Table 4.6: unknown recordings")
    table = page.tables["table_4_6"]
    if table.empty:
        section.blocks.append(Text("There are no unknown recordings."))
        return section
    section.blocks.append(
        Text(
            "As published, in the study's words. Told straight: what the same kind of model, trained "
            "afresh on all labelled files, says of the moment and of the files chosen of its "
            "encounter, calibrated on encounters it had not heard, with classes taken as equally "
            "frequent. Neither model knows an answer other than these classes."
        )
    )
    rows = [
        (
            str(row["path"]),
            *([str(row.get("published_sentence", "–"))] if page.published is not None else []),
            f"{row['straight_decision']} {row['straight_probability']:.2f}",
            f"{row['straight_encounter_decision']} {row['straight_encounter_probability']:.2f}",
            "yes" if row["encounter_in_training"] else "no",
        )
        for row in table.to_dict("records")
    ]
    columns = ["file", *(["as published"] if page.published is not None else [])]
    columns += ["told straight: file", "encounter", "encounter in training"]
    section.blocks.append(
        Table(columns, rows[:30], n_more=len(rows) - 30, more="tables/table_4_6.csv")
    )
    if page.published is not None:
        same = table["published_decision"] == table["straight_decision"]
        section.blocks.append(Text(f"Both columns name {int(same.sum())} of {len(table)} alike."))
    return section


def _own_numbers(page: _Page) -> Section:
    section = Section("own-numbers", "The study's own numbers")
    rows: list[Any] = page.tables["the_study_itself"].to_dict("records")
    low, high = recall_interval(48, 74)
    section.blocks += [
        Text(
            "What the study of 2024 printed (564 clips in validation, 564 in the test), beside what "
            "follows from its confusion matrices by the arithmetic that this report uses."
        ),
        Table(
            ("table", "model", "printed: accuracy", "precision", "recall", "from the matrix: accuracy",
             "precision", "recall", "recall of Insular", "balanced accuracy", "majority"),
            [
                (row["table"], row["model"],
                 *(Number(row[key], 4) for key in (
                     "printed_accuracy", "printed_precision", "printed_recall", "accuracy",
                     "precision", "recall")),
                 Number(row["insular_recall"], 2), Number(row["balanced_accuracy"], 2),
                 Number(row["majority_accuracy"], 3))
                for row in rows
            ],
            caption="A matrix that the study does not print is filled in where its row leaves only "
            "one possibility.",
        ),
        Notices([str(text) for text in contradictions(rows)]),
        Text(
            f"Recall of Insular in the test, 48 of 74, has a 95 % interval of {low:.2f} to "
            f"{high:.2f} if clips are taken as independent, which those of an encounter are not."
        ),
        Table(
            ("setting", "accuracy printed", "clips of 564"),
            [
                (name, Number(value, 4), Number(value * 564, 1))
                for name, value in (
                    *_printed("learning rate", RATES, RATE_ACCURACIES),
                    *_printed("momentum", MOMENTA, MOMENTUM_ACCURACIES),
                )
            ],
            caption="Table 4.3 of the study. Its settings differ by at most 20 clips, each begun with "
            "the weights that the one before had left.",
        ),
    ]  # fmt: skip
    return section


def _printed(
    what: str, settings: Sequence[float], accuracies: Sequence[float]
) -> list[tuple[str, float]]:
    return [(f"{what} {s:g}", value) for s, value in zip(settings, accuracies, strict=True)]


def _provenance(page: _Page) -> Section:
    section = Section("provenance", "How this was made")
    rows = []
    for name in page.options.backbones:
        about = _backbone_of(page, name).description()
        rows.append((name, about["weights_source"], about["weights_hash"][:12], about["licence"],
                     int(about["embedding_size"]), page.networks.n_passes.get(name, 0)))  # fmt: skip
    split = page.straight.split
    options = [
        ("epochs", str(page.options.n_epochs)),
        ("switches", _listed(page.options.as_published)),
        ("training mode", "a pass per clip and epoch" if page.options.exact_training_mode
         else "statistics adapted once"),
        ("told straight: split", split.name),
        ("folds", str(split.n_folds)),
        ("repeats", str(split.n_repeats)),
        ("a class against the rest", page.options.against_rest or "no"),
        ("recordings per class", str(page.options.max_per_class or "all")),
    ]  # fmt: skip
    took = sorted(page.took.items(), key=lambda item: -item[1])
    section.blocks += [
        Table(
            ("network", "weights", "SHA-256", "licence", "numbers", "pictures passed in this run"),
            rows,
            caption="Weights in use, and pictures that passed in this run (0: all were kept).",
        ),
        Settings(options),
        Heading("Packages"),
        Settings(list(package_versions().items())),
        Heading("Time"),
        Table(
            ("stage", "seconds"),
            [(stage, Number(seconds, 1)) for stage, seconds in took[:20]],
            caption="Of this run; what was kept from an earlier one took no time.",
        ),
        Text(
            f"Tables as CSV: {page.folders.tables}. Figures as PNG: {page.folders.figures}. The "
            f"project, for every other verb: {page.folders.project}."
        ),
    ]
    return section


def _backbone_of(page: _Page, name: str) -> Backbone:
    return page.networks.network(name, "tight", adapted=False).embedder.backbone


def _listed(switches: frozenset[str]) -> str:
    return ", ".join(name for name in NAMES if name in switches) or "none"


def _both(page: _Page, name: str, key: str) -> list[Block]:
    """A table of both columns side by side."""
    frame, published = page.tables[name], page.published
    columns = [key.replace("_", " ")]
    cells: list[Callable[[Mapping[Any, Any]], Cell]] = [lambda row: _shown(row[key])]
    caption = ""
    if published is not None:
        label = page.classes[published.positive]
        columns += [
            "as published: accuracy", f"precision of {label}", f"recall of {label}",
            "(its balanced accuracy)",
        ]  # fmt: skip
        cells += [
            _number(f"published_{column}", digits)
            for column, digits in (
                ("accuracy", 4), ("precision", 4), ("recall", 4), ("balanced_accuracy", 3),
            )
        ]  # fmt: skip
        majority = sorted(
            {f"{value:.4f}" for value in frame["published_majority_accuracy"].dropna()}
        )
        caption = f"{' to '.join(dict.fromkeys([majority[0], majority[-1]]))} as published, "
    columns += ["told straight: balanced accuracy by clip", "by encounter", "accuracy"]
    cells += [_interval("clip"), _interval("encounter"), _number("straight_clip_accuracy", 3)]
    for label in page.classes if len(page.classes) <= _MOST_RECALLS else []:
        columns.append(f"recall of {label}")
        cells.append(_number(f"straight_clip_recall_{label}", 2))
    straight = page.straight.no_sound.clip
    caption = (
        f"Always naming the most frequent class: accuracy {caption}{straight['majority_accuracy']:.3f} "
        f"told straight, balanced accuracy {straight['majority_baseline']:.2f}."
    )
    rows = [[cell(row) for cell in cells] for row in frame.to_dict("records")]
    return [Table(columns, rows, caption=caption), *_failures(frame, key)]


def _number(column: str, digits: int) -> Callable[[Mapping[Any, Any]], Cell]:
    return lambda row: Number(row.get(column), digits)


def _interval(unit: str) -> Callable[[Mapping[Any, Any]], Cell]:
    def cell(row: Mapping[Any, Any]) -> Cell:
        value, low, high = (
            row.get(f"straight_{unit}_{key}", np.nan)
            for key in ("balanced_accuracy", "ci_low", "ci_high")
        )
        return "–" if np.isnan(value) else f"{value:.3f} [{low:.2f}, {high:.2f}]"

    return cell


def _failures(frame: pd.DataFrame, key: str) -> list[Block]:
    told = []
    for column in ("published_failed", "straight_failed"):
        if column in frame:
            failed = frame[frame[column].notna()]
            side = "as published" if column.startswith("published") else "told straight"
            told += [
                f"{_shown(row[key])}, {side}: {row[column]}" for row in failed.to_dict("records")
            ]
    return [Notices(told)] if told else []


def _how(straight: Straight) -> str:
    split = straight.split
    kept = "encounters whole" if straight.encounters_whole else "moments whole, encounters torn"
    again = f", {split.n_repeats} times" if split.n_repeats > 1 else ""
    return f"{split.n_folds} folds{again}, {kept}, every setting from a fresh start"


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value)
