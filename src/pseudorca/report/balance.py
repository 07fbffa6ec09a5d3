"""How the classes come in training batches before and after balancing.

A pure computation over the labels of the labelled clips, by the law that orders clips in training,
and without torch: a report takes no network.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.pages.blocks import Chart, Number, Section, Table, Text, chart, figure, folded
from pseudorca.pages.plots import batch_counts, few_colours, legend
from pseudorca.report.contents import Contents

BATCH_SIZE, SEED = 64, 0
"""Of the batches that are shown: the study's size, and the seed of the order."""

_MOST_BATCHES = 40


def balance_section(project: Contents) -> Section:
    """Show the classes in each batch of the first epoch, in random order and as the sampler draws.

    Parameters
    ----------
    project : Contents

    Returns
    -------
    Section
    """
    section = Section("balance", "Class balance in training batches")
    clips = project.labelled_clips
    if len(project.classes) < 2 or clips.empty:
        section.blocks.append(Text("Balancing takes clips of at least 2 classes."))
        return section
    table = clips["label"].value_counts()
    classes = sorted(map(str, table.index))
    truth = np.array([classes.index(str(label)) for label in clips["label"]])
    counted, orders = {}, {}
    for balance in ("none", "sampler"):
        order = _drawn_rows(truth, balance)
        orders[balance] = order
        counted[balance] = np.array(
            [
                np.bincount(truth[order[first : first + BATCH_SIZE]], minlength=len(classes))
                for first in range(0, len(order), BATCH_SIZE)
            ]
        )
    section.blocks.append(_batch_chart(counted, classes))
    n_seen = len(set(orders["sampler"].tolist()))
    full = {name: counts[: max(1, len(clips) // BATCH_SIZE)] for name, counts in counted.items()}
    rows = []
    for k, label in enumerate(classes):
        before, after = (Number(counts[:, k].mean(), 1) for counts in full.values())
        rows.append((label, int(table[label]), before, after))
    size = min(BATCH_SIZE, len(clips))
    section.blocks += [
        folded(
            Table(
                ("class", "clips", f"per batch of {size}, random order", "weighted sampler"),
                rows,
                caption="Mean number of clips of each class in a full batch of the first epoch.",
            )
        ),
        Text(
            f"The sampler draws with replacement: {len(clips)} draws met {n_seen} of the "
            f"{len(clips)} clips, those of small classes several times. It changes what the network "
            "learns from, not how much is known about a small class."
        ),
    ]
    return section


def _drawn_rows(truth: NDArray[np.int64], balance: str) -> NDArray[np.int64]:
    """The rows of one epoch, batch after batch, by the law of the softmax head's ``batch_order``."""
    random = np.random.default_rng(SEED)
    if balance == "none":
        return random.permutation(len(truth))
    shares = 1 / np.bincount(truth)[truth]
    return random.choice(len(truth), len(truth), p=shares / shares.sum())


def _batch_chart(counted: dict[str, NDArray[np.int64]], classes: list[str]) -> Chart:
    n_batches = len(counted["none"])
    both = pd.DataFrame(np.concatenate(list(counted.values())), columns=classes)
    both, colours = few_colours(both)
    chart_figure = figure(3.3)
    axes = chart_figure.subplots(1, 2, sharey=True)
    titles = ("before: random order", "after: weighted random sampler")
    halves = both.iloc[:n_batches], both.iloc[n_batches:]
    for ax, half, title in zip(axes, halves, titles, strict=True):
        names = list(both.columns)
        batch_counts(ax, half[:_MOST_BATCHES].to_numpy(), names, colours=colours, title=title)
    axes[1].set_ylabel("")
    legend(chart_figure, colours, loc="outside lower center", ncols=min(6, len(colours)))
    which = f" The first {_MOST_BATCHES} of {n_batches}." if n_batches > _MOST_BATCHES else ""
    caption = (
        f"Clips of each class in the batches of {BATCH_SIZE} of one epoch over all labelled clips, "
        f"seed {SEED}: in random order, and as the weighted random sampler (--balance sampler) draws "
        f"them.{which} The last batch holds what is left over."
    )
    return chart(chart_figure, description=caption, caption=caption)
