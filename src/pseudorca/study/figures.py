"""The study's figures: each a PNG file and a part of the page.

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
"""Classes that get curves of their own."""
_FEW = 20
"""Different probabilities up to which a curve shows its points."""
_PNG_DPI = 150


class Figures:
    """Makes the figures of one study, and writes each as PNG.

    Parameters
    ----------
    folder : path of the folder for the PNG files
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, name: str, made: Figure, caption: str) -> Chart:
        """Write a figure, and make it a part of the page."""
        with whole_file(self._folder / f"{name}.png") as part:
            made.savefig(part, format="png", dpi=_PNG_DPI, facecolor="white")
        made.set_layout_engine("none")  # the layout stands
        return chart(made, description=caption, caption=caption)

    def recording(self, material: Material, label: str) -> list[Chart]:
        """Figures 1.4 and 1.5: the first recording of a class with the most channels."""
        mine = material.recordings[material.recordings["label"] == label]
        mine = mine.sort_values(["n_channels", "path"], ascending=[False, True])
        every: Iterable[Any] = mine.itertuples()
        for recording in every:
            try:
                n = min(int(recording.n_frames), round(_STRETCH_S * recording.sample_rate))
                samples = audio.read_segment(full_path(recording), n_frames=n)
            except AudioError:  # a file that went since the scan costs no figure: the next one does
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
        """Figure 4.1: the first clip of each class as the networks get it."""
        layouts = ["tight"] + (["wide"] if MARGINS in switches else [])
        classes = material.classes[:6]
        made = figure(2.35 * len(layouts), width_in=3.3 * min(len(classes), 3))
        grid = made.subplots(len(layouts), len(classes), squeeze=False)
        path = material.paths(material.clips)
        every: Iterable[Any] = material.recordings.itertuples()
        by_id = {row.recording_id: row for row in every}
        for column, label in enumerate(classes):
            mine = material.clips[material.clips["label"] == label]
            first = by_id[mine["recording_id"][path[mine.index].sort_values().index[0]]]
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
        return [self.add("figure_4_1", made, caption)]

    def batches(self, rows: pd.DataFrame, classes: Sequence[str]) -> Chart:
        """Figures 3.2 and 4.3: clips of each class in the batches of the first epoch."""
        few, colours = few_colours(rows[list(classes)])
        made = figure(3.1)
        axes = made.subplots(1, 2, sharey=True)
        for ax, order, title in zip(
            axes, ("random", "weighted sampler"),
            ("3.2: as frequent as they are", "4.3: weighted random sampler"), strict=True,
        ):  # fmt: skip
            counts = few[rows["order"] == order].to_numpy()[:40]
            batch_counts(ax, counts, list(few.columns), colours=colours, title=title)
        axes[1].set_ylabel("")
        legend(made, colours, loc="outside lower center", ncols=min(6, len(colours)))
        caption = (
            "Figures 3.2 and 4.3. Clips of each class in the batches of 64 of the first epoch, before "
            "and after weighting. The last batch holds what is left over."
        )
        return self.add("figures_3_2_and_4_3", made, caption)

    def published_curves(self, published: Published, classes: Sequence[str]) -> Chart:
        """Figures 4.2 and 4.4 as published, validation side; empty axes for a training that failed."""
        label = classes[published.positive]
        made = figure(4.9, width_in=7.4)
        grid = made.subplots(2, 2)
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
        _line_legend(made, ("precision", "recall"))
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
        return self.add("figures_4_2_and_4_4_as_published", made, caption)

    def straight_curves(self, material: Material, straight: Straight) -> Chart | None:
        """Figures 4.2 and 4.4 told straight: every clip by its own probability, each class."""
        models = {
            "before": straight.networks[straight.tuned], "after": straight.weighted
        }  # fmt: skip
        there = {name: h for name, h in models.items() if isinstance(h, Honest)}
        if not there:
            return None
        classes = material.classes[:_MOST_CLASSES]
        made = figure(2.45 * len(there) + 0.3, width_in=2.8 * 2 * len(classes))
        grid = made.subplots(len(there), 2 * len(classes), squeeze=False)
        groups = material.clips["encounter"].to_numpy(dtype=object)
        for row, (name, honest) in zip(grid, there.items(), strict=True):
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
        _line_legend(made, ("precision", "recall"))
        caption = (
            "Figures 4.2 and 4.4 told straight. The same for each class, every clip by its own "
            "probability, by models that never heard its encounter; a line per repeat, thresholds as "
            "means."
        )
        return self.add("figures_4_2_and_4_4_told_straight", made, caption)

    def losses(self, straight: Straight, published: Published | None) -> Chart:
        """Figure 4.5: losses over epochs at the best learning rate and the best momentum."""
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
        made = figure(2.7 * len(columns) + 0.2, width_in=8.6)
        grid = made.subplots(len(columns), 2, squeeze=False)
        for axes, (column, (rate, momentum, rate_text, momentum_text)) in zip(
            grid, columns.items(), strict=True
        ):
            for ax, found, what in (
                (axes[0], rate, f"learning rate {rate_text}"),
                (axes[1], momentum, f"momentum {momentum_text}"),
            ):
                histories, best = _histories(found)
                history_curves(
                    ax, histories, best_epochs=best, title=f"{column}: {what}",
                    y="cross-entropy (nats)",
                )  # fmt: skip
        _line_legend(made, ("training", "validation"))
        caption = (
            "Figure 4.5. Losses over epochs at the best learning rate and the best momentum. Told "
            "straight: a thin line per training (fold and repeat), thick their mean; validation is "
            "of encounters kept aside. Dots: the epoch that was kept."
        )
        return self.add("figure_4_5", made, caption)

    def all_losses(
        self, name: str, title: str, rates: Mapping[float, Any], momenta: Mapping[float, Any]
    ) -> Chart:
        """Loss curves of every setting of Table 4.3."""
        settings = [(f"rate {rate:g}", found) for rate, found in rates.items()]
        settings += [(f"momentum {momentum:g}", found) for momentum, found in momenta.items()]
        n_columns = 5
        n_rows = -(-len(settings) // n_columns)
        made = figure(2.1 * n_rows + 0.2)
        grid = made.subplots(n_rows, n_columns, squeeze=False).ravel()
        for ax, (what, found) in zip(grid, settings, strict=False):
            histories, best = _histories(found)
            history_curves(ax, histories, best_epochs=best, title=what, y=" ")
        for ax in grid[len(settings) :]:
            ax.set_axis_off()
        _line_legend(made, ("training", "validation"))
        caption = f"Table 4.3, {title}: loss (cross-entropy, nats) over epochs for every setting."
        return self.add(name, made, caption)

    def confusions(
        self, name: str, counts: Mapping[str, Any], classes: Sequence[str], caption: str
    ) -> Chart:
        """Confusion matrices side by side."""
        size = 2.0 + 0.35 * len(classes)
        n_columns = max(1, min(len(counts), int(11 / size)))
        n_rows = -(-len(counts) // n_columns)
        made = figure(size * n_rows, width_in=size * n_columns)
        axes = made.subplots(n_rows, n_columns, squeeze=False).ravel()
        for ax, (title, table) in zip(axes, counts.items(), strict=False):
            confusion_matrix(ax, table, classes, title=title, unit="clips")
        for ax in axes[len(counts) :]:
            ax.set_axis_off()
        return self.add(name, made, caption)

    def overview(
        self, material: Material, straight: Straight, published: Published | None
    ) -> Chart:
        """Balanced accuracies of both columns with their intervals over encounters."""
        rows = []
        if published is not None:
            rows.append(_published_result(published, material))
        told: dict[str, Honest | str] = {
            "final model": straight.final,
            **{f"{name}, unweighted": honest for name, honest in straight.networks.items()},
            "logistic regression": straight.logistic,
            "without listening": straight.no_sound,
        }
        for name, honest in told.items():
            if isinstance(honest, Honest):
                for unit in ("clip", "encounter"):
                    rows.append(_result(f"{name}, by {unit}", honest.results[unit], straight))
        made = figure(0.33 * len(rows) + 0.9, width_in=9.4)
        ax: Axes = made.subplots()
        intervals(ax, rows)
        caption = (
            "Balanced accuracy with its 95 % interval over encounters. Open: the study's split, where "
            "encounters stand on both sides. Filled: told straight, encounters never heard. Dashes: "
            f"always naming one class. Without listening: from {NO_SOUND} alone; the animals may have "
            "a part in the last two."
        )
        return self.add("overview", made, caption)


def published_interval(answers: Answers, groups: Any, n_classes: int) -> tuple[float, float, str]:
    """95 % interval of the balanced accuracy of answers, over encounters."""
    right = (answers.scores.argmax(axis=1) == answers.truth).astype(np.float64)
    return interval(right, answers.truth, groups, n_classes)


def _published_result(published: Published, material: Material) -> Result:
    test = published.tuning.test
    groups = material.clips["encounter"].to_numpy(dtype=object)[published.parts.test]
    low, high, _ = published_interval(test, groups, len(material.classes))
    n_there = len(set(test.truth.tolist()))
    return Result(
        "as published: final model, test, by file", test.balanced_accuracy, low, high, 1 / n_there,
        optimistic=True,
    )  # fmt: skip


def _result(name: str, result: Mapping[str, Any], straight: Straight) -> Result:
    return Result(
        name, result["balanced_accuracy"], result["ci_low"], result["ci_high"],
        result["majority_baseline"], optimistic=not straight.encounters_whole,
    )  # fmt: skip


def _histories(found: Any) -> tuple[list[Any], list[int | None]]:
    if isinstance(found, Training):
        return [found.history], [found.best_epoch]
    if isinstance(found, Honest):
        return [t["history"] for t in found.trainings], [t["best_epoch"] for t in found.trainings]
    return [], []


def _curves(
    axes: Sequence[Axes], is_class: Any, probabilities: Sequence[Any], *, title: str,
    lines: bool = True,
) -> None:  # fmt: skip
    if is_class.any():
        precision_recall(axes[0], is_class, probabilities, colour=BLUE, title=title)
        threshold_curves(axes[1], is_class, probabilities)
        for few in probabilities:
            if len(np.unique(few)) <= _FEW:  # a line would hide that these are a few points
                precision, recall, _ = precision_recall_curve(is_class, few)
                axes[0].plot(recall[:-1], precision[:-1], "o", color=BLUE, markersize=5)
    else:
        style(axes[0], title=f"{title}: no clip of the class")
        style(axes[1])
    if not lines:
        axes[1].set_ylabel("")


def _line_legend(made: Figure, names: tuple[str, str]) -> None:
    lines = [
        Line2D([], [], color=BLUE, linewidth=1.6, label=names[0]),
        Line2D([], [], color=VERMILLION, linestyle="--", linewidth=1.6, label=names[1]),
    ]
    made.legend(
        handles=lines, loc="outside upper left", ncols=2, frameon=False, fontsize=SMALL_PT,
        labelcolor=INK,
    )  # fmt: skip
