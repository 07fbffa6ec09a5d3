"""The tables and figures of the study in the report: a section per table, both columns side by side."""

from pseudorca.pages.blocks import Block, Fold, Heading, Section, Table, Text
from pseudorca.study.page_parts import Page, both_columns, how_straight
from pseudorca.study.straight import Honest
from pseudorca.study.training import Training


def networks_section(page: Page) -> Section:
    """Make the section of Tables 4.1 and 5.1: the networks.

    Parameters
    ----------
    page : Page

    Returns
    -------
    Section
    """
    section = Section("networks", "Table 4.1: the networks")
    section.blocks.append(
        Text(
            "Each network as a fixed feature extractor under one new layer (SGD, learning rate "
            f"0.001, momentum 0.9, a tenth every 7 epochs, batches of 64, {page.options.n_epochs} "
            "epochs, the epoch of the best validation accuracy). Here and below, as published: on "
            "the validation part; in brackets the balanced accuracy of the same answers, which was "
            f"not printed. Told straight: {how_straight(page.straight)}; 95 % intervals over "
            "encounters."
        )
    )
    section.blocks += both_columns(page, "table_4_1", "network")
    if page.published is not None:
        counts = {
            name: page.published.validation(training).confusion
            for name, training in page.published.networks.items()
            if isinstance(training, Training)
        }
        caption = "Table 5.1. Confusion on the validation part, as published. Rows: truth."
        if counts:
            section.blocks.append(
                page.figures.confusions("table_5_1_as_published", counts, page.classes, caption)
            )
    straight_counts = {
        name: honest.clip["confusion"]
        for name, honest in page.straight.networks.items()
        if isinstance(honest, Honest)
    }
    caption = (
        "The same told straight, by clip (channels of a moment count once), mean over repeats."
    )
    if straight_counts:
        section.blocks.append(
            page.figures.confusions(
                "table_5_1_told_straight", straight_counts, page.classes, caption
            )
        )
    return section


def imbalance_section(page: Page) -> Section:
    """Make the section of Table 4.2 and its figures: class imbalance.

    Parameters
    ----------
    page : Page

    Returns
    -------
    Section
    """
    section = Section("imbalance", "Class imbalance: figures 3.2, 4.2 to 4.4, Table 4.2")
    rows = page.tables["figures_3_2_and_4_3"]
    section.blocks.append(page.figures.batches(rows, page.classes))
    section.blocks += both_columns(page, "table_4_2", "model")
    if page.published is not None:
        section.blocks.append(page.figures.published_curves(page.published, page.classes))
    curves = page.figures.straight_curves(page.material, page.straight)
    if curves is not None:
        section.blocks.append(curves)
    return section


def settings_section(page: Page) -> Section:
    """Make the section of Table 4.3: rates and momenta.

    Parameters
    ----------
    page : Page

    Returns
    -------
    Section
    """
    section = Section("settings", "Table 4.3: learning rates and momenta")
    section.blocks += [
        Heading("Learning rates"),
        *both_columns(page, "table_4_3_rates", "learning_rate"),
        Heading("Momenta at the best rate"),
        *both_columns(page, "table_4_3_momenta", "momentum"),
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


def final_section(page: Page) -> Section:
    """Make the section of Tables 4.4, 4.5 and 5.2: the final model.

    Parameters
    ----------
    page : Page

    Returns
    -------
    Section
    """
    section = Section("final", "Tables 4.4, 4.5 and 5.2: the final model")
    section.blocks.append(
        Text(
            "As published: the best setting on the test part. Told straight: rate and momentum are "
            "chosen inside each training side, so that what is tested was not chosen on it; below it "
            "pseudorca's own head on the same embeddings, and a classifier that hears nothing."
        )
    )
    section.blocks += both_columns(page, "table_4_4", "model")
    if page.published is not None:
        tuning = page.published.tuning
        counts = {"final model, test": tuning.test.confusion}
        if isinstance(tuning.weighted, Training):
            weighted = page.published.validation(tuning.weighted).confusion
            counts = {"weighted, validation": weighted} | counts
        section.blocks.append(
            page.figures.confusions(
                "table_5_2_as_published", counts, page.classes,
                "Table 5.2 and the confusion of Table 4.4, as published. Rows: truth.",
            )
        )  # fmt: skip
    straight_counts = {
        name: honest.clip["confusion"]
        for name, honest in (
            ("weighted sampler", page.straight.weighted), ("final model", page.straight.final),
        )
        if isinstance(honest, Honest)
    }  # fmt: skip
    if straight_counts:
        caption = "The same told straight, by clip, mean over repeats."
        section.blocks.append(
            page.figures.confusions(
                "table_5_2_told_straight", straight_counts, page.classes, caption
            )
        )
    section.blocks += [Heading("Table 4.5: row by row"), *both_columns(page, "table_4_5", "row")]
    return section


def unknown_section(page: Page) -> Section:
    """Make the section of Table 4.6: the unknown recordings.

    Parameters
    ----------
    page : Page

    Returns
    -------
    Section
    """
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
