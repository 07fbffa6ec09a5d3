"""The sections of the report around the tables of the study: answer, switches, data, printed numbers,
and provenance."""

from collections.abc import Sequence
from typing import Any

from pseudorca.backbones import Backbone
from pseudorca.pages.blocks import (
    Block,
    Cell,
    Facts,
    Heading,
    Notices,
    Number,
    Section,
    Settings,
    Table,
    Text,
)
from pseudorca.store import package_versions
from pseudorca.study.as_published import Published
from pseudorca.study.page_parts import Page, listed
from pseudorca.study.published import (
    MOMENTA,
    MOMENTUM_ACCURACIES,
    RATE_ACCURACIES,
    RATES,
    recall_interval,
)
from pseudorca.study.words import contradictions


def answer_section(
    page: Page, rows: Sequence[Sequence[str]], sentences: Sequence[str], notices: Sequence[str]
) -> Section:
    """Make the section with the answer of the study.

    Parameters
    ----------
    page : Page
    rows : sequence of (what, as published, told straight)
    sentences : sequence of str
    notices : sequence of str

    Returns
    -------
    Section
    """
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


def switches_section(page: Page, published: Published) -> Section:
    """Make the section about the switches.

    Parameters
    ----------
    page : Page
    published : Published

    Returns
    -------
    Section
    """
    section = Section("switches", "What the scripts did: the switches")
    section.blocks.append(
        Text(
            "Each switch repeats something that the study's scripts did and that shaped its numbers. "
            f"On in this run: {listed(published.switches)}. The second table is the test of the "
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


def data_section(page: Page) -> Section:
    """Make the section about recordings and pictures.

    Parameters
    ----------
    page : Page

    Returns
    -------
    Section
    """
    material, published = page.material, page.published
    section = Section("data", "Recordings and pictures")
    facts: list[tuple[str, Cell]] = []
    for label in page.classes:
        of_class = material.clips[material.clips["label"] == label]
        facts.append((f"{label} files", len(of_class)))
        facts.append((f"{label} encounters", int(of_class["encounter"].nunique())))
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


def own_numbers_section(page: Page) -> Section:
    """Make the section about the printed numbers of the study.

    Parameters
    ----------
    page : Page

    Returns
    -------
    Section
    """
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


def provenance_section(page: Page) -> Section:
    """Make the section about networks, settings, packages and times.

    Parameters
    ----------
    page : Page

    Returns
    -------
    Section
    """
    section = Section("provenance", "How this was made")
    rows = []
    for name in page.options.backbones:
        backbone = _backbone_of(page, name).description()
        n_passes = page.networks.n_passes.get(name, 0)
        rows.append((name, backbone["weights_source"], backbone["weights_hash"][:12],
                     backbone["licence"], int(backbone["embedding_size"]), n_passes))  # fmt: skip
    split = page.straight.split
    options = [
        ("epochs", str(page.options.n_epochs)),
        ("switches", listed(page.options.as_published)),
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


def _backbone_of(page: Page, name: str) -> Backbone:
    return page.networks.network(name, "tight", adapted=False).embedder.backbone
