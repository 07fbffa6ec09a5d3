"""The figures of the study. Each figure is a PNG file and a part of the page.

Figure 1.4 is the waveform and spectrum of one recording, 1.5 its spectrogram, 3.2 and 4.3 the class
counts per batch, 4.1 the first clip of each class, 4.2 and 4.4 the curves over thresholds, 4.5 the
losses over epochs.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image
from sklearn.metrics import precision_recall_curve

from pseudorca.errors import AudioError
from pseudorca.evaluation.intervals import interval
from pseudorca.evaluation.metrics import unit_truth
from pseudorca.formats.whole import whole_file
from pseudorca.frontends.study_picture import StudyFrontEnd
from pseudorca.pages.blocks import Chart, chart, figure
from pseudorca.pages.plots import (
    BLUE,
    COLOURS,
    GRID,
    INK,
    SMALL_PT,
    VERMILLION,
    batch_counts,
    few_colours,
    legend,
    shown,
    style,
)
from pseudorca.recordings import audio
from pseudorca.recordings.manifest import full_path
from pseudorca.report.evaluation_plots import (
    Result,
    confusion_matrix,
    history_curves,
    intervals,
    precision_recall,
    threshold_curves,
)
from pseudorca.report.sound_plots import native_levels, spectra, spectrogram, waveforms
from pseudorca.study.as_published import Answers, Published, curve_probabilities
from pseudorca.study.material import Material
from pseudorca.study.straight import NO_SOUND, Honest, Straight
from pseudorca.study.switches import FIRST_CLIP, MARGINS
from pseudorca.study.training import Training

_STRETCH_S = 10.0
_MOST_CHANNELS = 8
_RANGE_DB = 80.0
_MOST_CLASSES = 4
"""Most classes with curves of their own."""
_FEW = 20
"""Curves with at most this number of different probabilities show their points."""
_PNG_DPI = 150


class Figures:
    """Draws the figures of one study, and writes each figure as PNG.

    Parameters
    ----------
    folder : path of the folder for the PNG files
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, name: str, drawn: Figure, caption: str) -> Chart:
        """Write a figure as PNG, and make a part of the page.

        Parameters
        ----------
        name : str, name of the file without its ending
        drawn : Figure
        caption : str

        Returns
        -------
        Chart
        """
        with whole_file(self._folder / f"{name}.png") as part:
            drawn.savefig(part, format="png", dpi=_PNG_DPI, facecolor="white")
        drawn.set_layout_engine("none")  # the layout is final after the first drawing
        return chart(drawn, description=caption, caption=caption)

    def recording(self, material: Material, label: str) -> list[Chart]:
        """Draw Figures 1.4 and 1.5: the first recording of a class with the most channels."""
        of_class = material.recordings[material.recordings["label"] == label]
        of_class = of_class.sort_values(["n_channels", "path"], ascending=[False, True])
        recordings: Iterable[Any] = of_class.itertuples()
        for recording in recordings:
            try:
                n = min(int(recording.n_frames), round(_STRETCH_S * recording.sample_rate))
                samples = audio.read_segment(full_path(recording), n_frames=n)
            except AudioError:  # the file was removed after the scan: the next file is drawn
                continue
            return self._recording(recording, samples[:_MOST_CHANNELS])
        return []

    def _recording(self, recording: Any, samples: audio.Samples) -> list[Chart]:
        rate, colours = int(recording.sample_rate), COLOURS[: len(samples)]
        n = samples.shape[0]
        which = f"{shown(recording.path, 70)}, {rate / 1000:g} kHz, {n} channel{'s' * (n > 1)}"
        first = figure(3.0)
        left, right = first.subplots(1, 2)
        waveforms(left, samples, sample_rate=rate, colours=colours)
        spectra(right, samples, sample_rate=rate, colours=colours)
        second = figure(3.2)
        levels = native_levels(samples.mean(axis=0), sample_rate=rate, as_in_study=True)
        high = float(levels.db.max())
        image = spectrogram(second.subplots(), levels, low=high - _RANGE_DB, high=high)
        bar = second.colorbar(image, pad=0.01, aspect=25)
        bar.set_label("dB re full scale", fontsize=SMALL_PT, color=INK)
        bar.ax.tick_params(labelsize=SMALL_PT, colors=INK)
        return [
            self.add(
                "figure_1_4", first,
                f"Figure 1.4. Waveform and magnitude spectrum, a colour per channel: {which}.",
            ),
            self.add(
                "figure_1_5", second,
                "Figure 1.5. Its spectrogram as the study computed it (256 samples, so rows of "
                f"{rate / 256:,.0f} Hz), with axes; mean of the channels.",
            ),
        ]  # fmt: skip

    def first_clips(self, material: Material, switches: frozenset[str]) -> list[Chart]:
        """Draw Figure 4.1: the first clip of each class as the input of the networks."""
        layouts = ["tight"] + (["wide"] if MARGINS in switches else [])
        classes = material.classes[:6]
        drawn = figure(2.35 * len(layouts), width_in=3.3 * min(len(classes), 3))
        grid = drawn.subplots(len(layouts), len(classes), squeeze=False)
        path = material.paths(material.clips)
        recordings: Iterable[Any] = material.recordings.itertuples()
        by_id = {row.recording_id: row for row in recordings}
        for column, label in enumerate(classes):
            of_class = material.clips[material.clips["label"] == label]
            first = by_id[of_class["recording_id"][path[of_class.index].sort_values().index[0]]]
            try:
                samples = audio.read_segment(full_path(first)).mean(axis=0)
                for row, layout in enumerate(layouts):
                    picture = StudyFrontEnd(layout=layout).picture(  # type: ignore[arg-type]
                        samples, sample_rate=first.sample_rate
                    )
                    half = Image.fromarray(picture).reduce(2)
                    ax = grid[row, column]
                    ax.imshow(half, interpolation="none")
                    if row == 0:
                        ax.set_title(shown(label), fontsize=SMALL_PT, color=INK, loc="left")
            except AudioError:
                continue
        for ax in grid.ravel():
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_color(GRID)
        below = (
            " Below: the wide picture that it learns from as published; the margin is white."
            if MARGINS in switches
            else ""
        )
        caption = f"Figure 4.1. The first clip of each class as the networks get it.{below}"
        return [self.add("figure_4_1", drawn, caption)]

    def batches(self, rows: pd.DataFrame, classes: Sequence[str]) -> Chart:
        """Draw Figures 3.2 and 4.3: clips of each class in the batches of the first epoch."""
        few, colours = few_colours(rows[list(classes)])
        drawn = figure(3.1)
        axes = drawn.subplots(1, 2, sharey=True)
        for ax, order, title in zip(
            axes, ("random", "weighted sampler"),
            ("3.2: as frequent as they are", "4.3: weighted random sampler"), strict=True,
        ):  # fmt: skip
            counts = few[rows["order"] == order].to_numpy()[:40]
            batch_counts(ax, counts, list(few.columns), colours=colours, title=title)
        axes[1].set_ylabel("")
        legend(drawn, colours, loc="outside lower center", ncols=min(6, len(colours)))
        caption = (
            "Figures 3.2 and 4.3. Clips of each class in the batches of 64 of the first epoch, before "
            "and after weighting. The last batch holds what is left over."
        )
        return self.add("figures_3_2_and_4_3", drawn, caption)

    def published_curves(self, published: Published, classes: Sequence[str]) -> Chart:
        """Draw Figures 4.2 and 4.4 as published. The axes of a failed training are empty."""
        label = classes[published.positive]
        drawn = figure(4.9, width_in=7.4)
        grid = drawn.subplots(2, 2)
        models = {
            "4.2: before weighting": published.networks[published.tuned],
            "4.4: after weighting": published.tuning.weighted,
        }
        for axes, (title, training) in zip(grid, models.items(), strict=True):
            if isinstance(training, str):
                style(axes[0], title=f"{title}: failed")
                style(axes[1])
                continue
            answers = published.validation(training)
            p = curve_probabilities(answers, published.positive, published.switches)
            _curves(axes, answers.truth == published.positive, [p], title=title)
        _line_legend(drawn, ("precision", "recall"))
        steps = (
            " The first clip's probability stands for each batch of 64, so the curves have as many "
            "steps as there are batches."
            if FIRST_CLIP in published.switches
            else ""
        )
        caption = (
            f"Figures 4.2 and 4.4 as published. Precision against recall of {label}, and both over "
            f"the threshold, on the validation part ({len(published.parts.validation)} clips).{steps} "
            "Dotted: the share of the class."
        )
        return self.add("figures_4_2_and_4_4_as_published", drawn, caption)

    def straight_curves(self, material: Material, straight: Straight) -> Chart | None:
        """Draw Figures 4.2 and 4.4 told straight: the own probability of every clip, each class."""
        models = {
            "before": straight.networks[straight.tuned], "after": straight.weighted
        }  # fmt: skip
        trained = {name: h for name, h in models.items() if isinstance(h, Honest)}
        if not trained:
            return None
        classes = material.classes[:_MOST_CLASSES]
        drawn = figure(2.45 * len(trained) + 0.3, width_in=2.8 * 2 * len(classes))
        grid = drawn.subplots(len(trained), 2 * len(classes), squeeze=False)
        groups = material.clips["encounter"].to_numpy(dtype=object)
        for row, (name, honest) in zip(grid, trained.items(), strict=True):
            truth = unit_truth(
                material.clips, material.recordings, honest.scores, unit="clip", groups=groups
            )
            probabilities = np.exp(truth.log_probabilities)
            for k, label in enumerate(classes):
                axes, column = row[2 * k : 2 * k + 2], material.classes.index(label)
                _curves(
                    axes, truth.labels == label, list(probabilities[:, :, column]),
                    title=f"{label}, {name}", lines=len(classes) == 1,
                )  # fmt: skip
        _line_legend(drawn, ("precision", "recall"))
        caption = (
            "Figures 4.2 and 4.4 told straight. The same for each class, every clip by its own "
            "probability, by models that never heard its encounter; a line per repeat, thresholds as "
            "means."
        )
        return self.add("figures_4_2_and_4_4_told_straight", drawn, caption)

    def losses(self, straight: Straight, published: Published | None) -> Chart:
        """Draw Figure 4.5: losses over epochs at the best learning rate and the best momentum."""
        columns: dict[str, tuple[Any, Any, str, str]] = {}
        if published is not None:
            t = published.tuning
            columns["as published"] = (
                t.rates[t.best_rate], t.momenta[t.best_momentum],
                f"{t.best_rate:g}", f"{t.best_momentum:g}",
            )  # fmt: skip
        columns["told straight"] = (
            straight.rates[straight.best_rate], straight.momenta[straight.best_momentum],
            f"{straight.best_rate:g}", f"{straight.best_momentum:g}",
        )  # fmt: skip
        drawn = figure(2.7 * len(columns) + 0.2, width_in=8.6)
        grid = drawn.subplots(len(columns), 2, squeeze=False)
        for axes, (column, (rate, momentum, rate_text, momentum_text)) in zip(
            grid, columns.items(), strict=True
        ):
            for ax, result, what in (
                (axes[0], rate, f"learning rate {rate_text}"),
                (axes[1], momentum, f"momentum {momentum_text}"),
            ):
                histories, best = _histories(result)
                history_curves(
                    ax, histories, best_epochs=best, title=f"{column}: {what}",
                    y="cross-entropy (nats)",
                )  # fmt: skip
        _line_legend(drawn, ("training", "validation"))
        caption = (
            "Figure 4.5. Losses over epochs at the best learning rate and the best momentum. Told "
            "straight: a thin line per training (fold and repeat), thick their mean; validation is "
            "of encounters kept aside. Dots: the epoch that was kept."
        )
        return self.add("figure_4_5", drawn, caption)

    def all_losses(
        self, name: str, title: str, rates: Mapping[float, Any], momenta: Mapping[float, Any]
    ) -> Chart:
        """Draw loss curves of every setting of Table 4.3."""
        settings = [(f"rate {rate:g}", result) for rate, result in rates.items()]
        settings += [(f"momentum {momentum:g}", result) for momentum, result in momenta.items()]
        n_columns = 5
        n_rows = -(-len(settings) // n_columns)
        drawn = figure(2.1 * n_rows + 0.2)
        grid = drawn.subplots(n_rows, n_columns, squeeze=False).ravel()
        for ax, (what, result) in zip(grid, settings, strict=False):
            histories, best = _histories(result)
            history_curves(ax, histories, best_epochs=best, title=what, y=" ")
        for ax in grid[len(settings) :]:
            ax.set_axis_off()
        _line_legend(drawn, ("training", "validation"))
        caption = f"Table 4.3, {title}: loss (cross-entropy, nats) over epochs for every setting."
        return self.add(name, drawn, caption)

    def confusions(
        self, name: str, counts: Mapping[str, Any], classes: Sequence[str], caption: str
    ) -> Chart:
        """Draw confusion matrices side by side."""
        size = 2.0 + 0.35 * len(classes)
        n_columns = max(1, min(len(counts), int(11 / size)))
        n_rows = -(-len(counts) // n_columns)
        drawn = figure(size * n_rows, width_in=size * n_columns)
        axes = drawn.subplots(n_rows, n_columns, squeeze=False).ravel()
        for ax, (title, table) in zip(axes, counts.items(), strict=False):
            confusion_matrix(ax, table, classes, title=title, unit="clips")
        for ax in axes[len(counts) :]:
            ax.set_axis_off()
        return self.add(name, drawn, caption)

    def overview(
        self, material: Material, straight: Straight, published: Published | None
    ) -> Chart:
        """Draw balanced accuracies of both columns with their intervals over encounters."""
        rows = []
        if published is not None:
            rows.append(_published_result(published, material))
        models: dict[str, Honest | str] = {
            "final model": straight.final,
            **{f"{name}, unweighted": honest for name, honest in straight.networks.items()},
            "logistic regression": straight.logistic,
            "without listening": straight.no_sound,
        }
        for name, honest in models.items():
            if isinstance(honest, Honest):
                for unit in ("clip", "encounter"):
                    rows.append(_result(f"{name}, by {unit}", honest.results[unit], straight))
        drawn = figure(0.33 * len(rows) + 0.9, width_in=9.4)
        ax: Axes = drawn.subplots()
        intervals(ax, rows)
        caption = (
            "Balanced accuracy with its 95 % interval over encounters. Open: the study's split, where "
            "encounters stand on both sides. Filled: told straight, encounters never heard. Dashes: "
            f"always naming one class. Without listening: from {NO_SOUND} alone; the animals may have "
            "a part in the last two."
        )
        return self.add("overview", drawn, caption)


def published_interval(answers: Answers, groups: Any, n_classes: int) -> tuple[float, float, str]:
    """Compute the 95 % interval of the balanced accuracy of answers, over encounters.

    Parameters
    ----------
    answers : Answers
    groups : array [shape=(n,)], the encounter of each clip
    n_classes : int

    Returns
    -------
    low, high : float
    method : str
    """
    right = (answers.scores.argmax(axis=1) == answers.truth).astype(np.float64)
    return interval(right, answers.truth, groups, n_classes)


def _published_result(published: Published, material: Material) -> Result:
    test = published.tuning.test
    groups = material.clips["encounter"].to_numpy(dtype=object)[published.parts.test]
    low, high, _ = published_interval(test, groups, len(material.classes))
    n_tested = len(set(test.truth.tolist()))
    return Result(
        "as published: final model, test, by file", test.balanced_accuracy, low, high, 1 / n_tested,
        optimistic=True,
    )  # fmt: skip


def _result(name: str, result: Mapping[str, Any], straight: Straight) -> Result:
    return Result(
        name, result["balanced_accuracy"], result["ci_low"], result["ci_high"],
        result["majority_baseline"], optimistic=not straight.encounters_whole,
    )  # fmt: skip


def _histories(result: Any) -> tuple[list[Any], list[int | None]]:
    if isinstance(result, Training):
        return [result.history], [result.best_epoch]
    if isinstance(result, Honest):
        return [t["history"] for t in result.trainings], [t["best_epoch"] for t in result.trainings]
    return [], []


def _curves(
    axes: Sequence[Axes], is_class: Any, probabilities: Sequence[Any], *, title: str,
    lines: bool = True,
) -> None:  # fmt: skip
    if is_class.any():
        precision_recall(axes[0], is_class, probabilities, colour=BLUE, title=title)
        threshold_curves(axes[1], is_class, probabilities)
        for few in probabilities:
            if len(np.unique(few)) <= _FEW:  # a line would hide that the curve has few points
                precision, recall, _ = precision_recall_curve(is_class, few)
                axes[0].plot(recall[:-1], precision[:-1], "o", color=BLUE, markersize=5)
    else:
        style(axes[0], title=f"{title}: no clip of the class")
        style(axes[1])
    if not lines:
        axes[1].set_ylabel("")


def _line_legend(drawn: Figure, names: tuple[str, str]) -> None:
    lines = [
        Line2D([], [], color=BLUE, linewidth=1.6, label=names[0]),
        Line2D([], [], color=VERMILLION, linestyle="--", linewidth=1.6, label=names[1]),
    ]
    drawn.legend(
        handles=lines, loc="outside upper left", ncols=2, frameon=False, fontsize=SMALL_PT,
        labelcolor=INK,
    )  # fmt: skip
