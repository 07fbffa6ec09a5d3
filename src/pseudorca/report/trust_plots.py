"""Plots of calibrated probabilities: are they true, and what naming only the surer ones buys."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from pseudorca.pages.plots import BLUE, INK, ORANGE, SMALL_PT, SOFT, style, whole_numbers


def reliability_diagram(ax: Axes, bins: Sequence[Mapping[str, float]]) -> Axes:
    """Draw the share of claims that came true against the claimed probability.

    Parameters
    ----------
    ax : Axes
    bins : sequence of dict ``claimed, happened, n_encounters``

    Returns
    -------
    Axes, the same
    """
    ax.plot([0, 1], [0, 1], "--", color=SOFT, linewidth=1.1)
    claimed, happened = [b["claimed"] for b in bins], [b["happened"] for b in bins]
    ax.plot(claimed, happened, "o-", color=BLUE, linewidth=1.6, markersize=6)
    for row in bins:
        right = row["happened"] < row["claimed"]
        ax.annotate(
            f"{row['n_encounters']:.0f}", (row["claimed"], row["happened"]),
            xytext=(7 if right else -7, -3), textcoords="offset points",
            ha="left" if right else "right", fontsize=SMALL_PT, color=INK,
        )  # fmt: skip
    style(ax, x="probability that was claimed", y="share that was so", grid="both")
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.02)
    ax.set_aspect("equal")
    return ax


def risk_coverage_curve(
    ax: Axes,
    curve: Sequence[Mapping[str, float]],
    candidates: Sequence[Mapping[str, float]],
) -> Axes:
    """Draw the error among what is named, from the surest only to everything.

    Parameters
    ----------
    ax : Axes
    curve : sequence of dict ``coverage, error``
    candidates : sequence of dict ``coverage, error, max_error``: where an upper bound is known

    Returns
    -------
    Axes, the same
    """
    shares = [point["coverage"] for point in curve]
    ax.plot(shares, [p["error"] for p in curve], color=BLUE, linewidth=1.8)
    for row in candidates:
        ax.plot(
            [row["coverage"]] * 2,
            [row["error"], row["max_error"]],
            color=ORANGE,
            linewidth=1.6,
        )
        ax.plot(row["coverage"], row["max_error"], "_", color=ORANGE, markersize=11,
                markeredgewidth=1.8)  # fmt: skip
    style(ax, x="share that is named, surest first", y="share of names that is wrong", grid="both")
    ax.set_xlim(0, 1.02)
    ax.set_ylim(0, 1)
    return ax


def learning_curve_plot(ax: Axes, curve: Sequence[Mapping[str, float]]) -> Axes:
    """Draw balanced accuracy against the encounters per class that were learned from.

    Parameters
    ----------
    ax : Axes
    curve : sequence of dict ``n_per_class, balanced_accuracy``, one per draw

    Returns
    -------
    Axes, the same

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> curve = [{"n_per_class": n, "balanced_accuracy": 0.5 + n / 20} for n in (1, 2, 4)]
    >>> ax = learning_curve_plot(Figure().add_subplot(), curve)
    """
    sizes = sorted({row["n_per_class"] for row in curve})
    draws = [[r["balanced_accuracy"] for r in curve if r["n_per_class"] == n] for n in sizes]
    ax.plot(sizes, [sum(values) / len(values) for values in draws], color=BLUE, linewidth=1.8)
    for n, values in zip(sizes, draws, strict=True):
        ax.plot([n] * len(values), values, "o", color=BLUE, markersize=4, alpha=0.6)
    style(ax, x="encounters per class learned from", y="balanced accuracy", grid="both")
    ax.set_xlim(left=0)
    ax.set_ylim(0, 1.02)
    whole_numbers(ax)
    return ax
