"""The figures of the study. Each figure is a PNG file and a part of the page.

Figure 1.4 is the waveform and spectrum of one recording, 1.5 its spectrogram, 3.2 and 4.3 the class
counts per batch, 4.1 the first clip of each class, 4.2 and 4.4 the curves over thresholds, 4.5 the
losses over epochs.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image
from sklearn.metrics import precision_recall_curve

from pseudorca.errors import AudioError
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
from pseudorca.study.as_published import Published, curve_probabilities
from pseudorca.study.networks import Layout
from pseudorca.study.settings import FIRST_CLIP, MARGINS
from pseudorca.study.straight import NO_SOUND, Honest
from pseudorca.study.tables import Study
from pseudorca.values import plural

_STRETCH_S = 10.0
_MOST_CHANNELS = 8
_RANGE_DB = 80.0
_MOST_CLASSES = 4
"""Most classes with curves of their own."""
_FEW = 20
"""Curves with at most this number of different probabilities show their points."""
_PNG_DPI = 150


def recording(study: Study, label: str) -> Iterator[Chart]:
    """Draw Figures 1.4 and 1.5: the first recording of a class with the most channels."""
    recordings = study.material.recordings
    of_class = recordings[recordings["label"] == label]
    of_class = of_class.sort_values(["n_channels", "path"], ascending=[False, True])
    rows: Iterable[Any] = of_class.itertuples()
    for row in rows:
        rate = int(row.sample_rate)
        try:
            n_frames = min(int(row.n_frames), round(_STRETCH_S * rate))
            samples = audio.read_segment(full_path(row), n_frames=n_frames)[:_MOST_CHANNELS]
        except AudioError:  # the file was removed after the scan: the next file is drawn
            continue
        break
    else:
        return
    colours = COLOURS[: len(samples)]
    channels = plural(len(samples), "channel")
    which = f"{shown(row.path, 70)}, {rate / 1000:g} kHz, {channels}"
    drawn = figure(3.0)
    left, right = drawn.subplots(1, 2)
    waveforms(left, samples, sample_rate=rate, colours=colours)
    spectra(right, samples, sample_rate=rate, colours=colours)
    caption = f"Figure 1.4. Waveform and magnitude spectrum, a colour per channel: {which}."
    yield _chart(study, "figure_1_4", drawn, caption)
    drawn = figure(3.2)
    levels = native_levels(samples.mean(axis=0), sample_rate=rate, as_in_study=True)
    high = float(levels.db.max())
    image = spectrogram(drawn.subplots(), levels, low=high - _RANGE_DB, high=high)
    bar = drawn.colorbar(image, pad=0.01, aspect=25)
    bar.set_label("dB re full scale", fontsize=SMALL_PT, color=INK)
    bar.ax.tick_params(labelsize=SMALL_PT, colors=INK)
    caption = (
        "Figure 1.5. Its spectrogram as the study computed it (256 samples, so rows of "
        f"{rate / 256:,.0f} Hz), with axes; mean of the channels."
    )
    yield _chart(study, "figure_1_5", drawn, caption)


def first_clips(study: Study) -> Chart:
    """Draw Figure 4.1: the first clip of each class as the input of the networks."""
    material, published = study.material, study.published
    layouts: list[Layout] = ["tight"]
    below = ""
    if published is not None and MARGINS in published.switches:
        layouts.append("wide")
        below = " Below: the wide picture that it learns from as published; the margin is white."
    classes = material.classes[:6]
    drawn = figure(2.35 * len(layouts), width_in=3.3 * min(len(classes), 3))
    grid = drawn.subplots(len(layouts), len(classes), squeeze=False)
    clips = material.clips.assign(path=material.paths(material.clips)).sort_values("path")
    first_ids = clips.drop_duplicates("label").set_index("label")["recording_id"]
    rows: Iterable[Any] = material.recordings.itertuples()
    by_id = {row.recording_id: row for row in rows}
    for axes, label in zip(grid.T, classes, strict=True):
        first = by_id[first_ids[label]]
        try:
            samples = audio.read_segment(full_path(first)).mean(axis=0)
            for ax, layout in zip(axes, layouts, strict=True):
                front_end = StudyFrontEnd(layout=layout)
                picture = front_end.picture(samples, sample_rate=first.sample_rate)
                ax.imshow(Image.fromarray(picture).reduce(2), interpolation="none")
            axes[0].set_title(shown(label), fontsize=SMALL_PT, color=INK, loc="left")
        except AudioError:
            continue
    for ax in grid.ravel():
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_color(GRID)
    caption = f"Figure 4.1. The first clip of each class as the networks get it.{below}"
    return _chart(study, "figure_4_1", drawn, caption)


def batches(study: Study) -> Chart:
    """Draw Figures 3.2 and 4.3: clips of each class in the batches of the first epoch."""
    rows = study.tables["figures_3_2_and_4_3"]
    few, colours = few_colours(rows[study.classes])
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
    return _chart(study, "figures_3_2_and_4_3", drawn, caption)


def published_curves(study: Study, published: Published) -> Chart:
    """Draw Figures 4.2 and 4.4 as published. The axes of a failed training are empty."""
    label = study.classes[published.positive]
    drawn = figure(4.9, width_in=7.4)
    models = {
        "4.2: before weighting": published.networks[study.options.tuned],
        "4.4: after weighting": published.tuning.weighted,
    }
    for axes, (title, training) in zip(drawn.subplots(2, 2), models.items(), strict=True):
        if isinstance(training, str):
            style(axes[0], title=f"{title}: failed")
            style(axes[1])
            continue
        p = curve_probabilities(training, published.positive, published.switches)
        _curves(axes, training.truth == published.positive, [p], title=title)
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
    return _chart(study, "figures_4_2_and_4_4_as_published", drawn, caption)


def straight_curves(study: Study) -> Iterator[Chart]:
    """Draw Figures 4.2 and 4.4 told straight: the own probability of every clip, each class."""
    material, straight = study.material, study.straight
    models = {
        "before": straight.networks[study.options.tuned],
        "after": straight.tuning.weighted,
    }
    trained = {name: h for name, h in models.items() if isinstance(h, Honest)}
    if not trained:
        return
    classes = material.classes[:_MOST_CLASSES]
    drawn = figure(2.45 * len(trained) + 0.3, width_in=2.8 * 2 * len(classes))
    grid = drawn.subplots(len(trained), 2 * len(classes), squeeze=False)
    for row, (name, honest) in zip(grid, trained.items(), strict=True):
        truth = unit_truth(
            material.clips, material.recordings, honest.scores, unit="clip",
            groups=material.encounters,
        )  # fmt: skip
        probabilities = np.exp(truth.log_probabilities)
        for k, label in enumerate(classes):
            axes = row[2 * k : 2 * k + 2]
            _curves(
                axes, truth.labels == label, list(probabilities[:, :, k]),
                title=f"{label}, {name}",
            )  # fmt: skip
            axes[1].set_ylabel("")
    _line_legend(drawn, ("precision", "recall"))
    caption = (
        "Figures 4.2 and 4.4 told straight. The same for each class, every clip by its own "
        "probability, by models that never heard its encounter; a line per repeat, thresholds as "
        "means."
    )
    yield _chart(study, "figures_4_2_and_4_4_told_straight", drawn, caption)


def losses(study: Study) -> Chart:
    """Draw Figure 4.5: losses over epochs at the best learning rate and the best momentum."""
    panels = {}
    for column, tuning in study.tunings.items():
        rate, momentum = tuning.best_rate, tuning.best_momentum
        panels[f"{column}: learning rate {rate:g}"] = tuning.rates[rate]
        panels[f"{column}: momentum {momentum:g}"] = tuning.momenta[momentum]
    drawn = figure(2.7 * len(study.tunings) + 0.2, width_in=8.6)
    _histories(drawn, panels, n_columns=2, y="cross-entropy (nats)")
    caption = (
        "Figure 4.5. Losses over epochs at the best learning rate and the best momentum. Told "
        "straight: a thin line per training (fold and repeat), thick their mean; validation is "
        "of encounters kept aside. Dots: the epoch that was kept."
    )
    return _chart(study, "figure_4_5", drawn, caption)


def all_losses(study: Study) -> Iterator[Chart]:
    """Draw loss curves of every setting of Table 4.3, for each column."""
    for column, tuning in study.tunings.items():
        panels = {
            f"{setting.removeprefix('learning_')} {value:g}": result
            for setting, value, result in tuning.settings
        }
        drawn = figure(2.1 * -(-len(panels) // 5) + 0.2)
        _histories(drawn, panels, n_columns=5, y=" ")
        caption = f"Table 4.3, {column}: loss (cross-entropy, nats) over epochs for every setting."
        yield _chart(study, f"table_4_3_losses_{column.replace(' ', '_')}", drawn, caption)


def confusions(study: Study, name: str, models: Mapping[str, Any], caption: str) -> Iterator[Chart]:
    """Draw the confusion matrices of models side by side, if at least one did not fail."""
    counts = {title: m.confusion for title, m in models.items() if not isinstance(m, str)}
    if not counts:
        return
    size = 2.0 + 0.35 * len(study.classes)
    n_columns = max(1, min(len(counts), int(11 / size)))
    drawn = figure(size * -(-len(counts) // n_columns), width_in=size * n_columns)
    axes = _panels(drawn, len(counts), n_columns)
    for ax, (title, table) in zip(axes, counts.items(), strict=True):
        confusion_matrix(ax, table, study.classes, title=title, unit="clips")
    yield _chart(study, name, drawn, caption)


def overview(study: Study) -> Chart:
    """Draw balanced accuracies of both columns with their intervals over encounters."""
    straight, published = study.straight, study.published
    rows = []
    if published is not None:
        test = published.tuning.test
        rows.append(
            Result(
                "as published: final model, test, by file", test.balanced_accuracy,
                *published.test_interval, 1 / len(set(test.truth.tolist())), optimistic=True,
            )
        )  # fmt: skip
    models: dict[str, Honest | str] = {
        "final model": straight.final,
        **{f"{name}, unweighted": honest for name, honest in straight.networks.items()},
        "logistic regression": straight.logistic,
        "without listening": straight.no_sound,
    }
    rows += [
        Result(
            f"{name}, by {unit}", result["balanced_accuracy"], result["ci_low"],
            result["ci_high"], result["majority_baseline"],
            optimistic=not straight.encounters_whole,
        )
        for name, honest in models.items()
        if isinstance(honest, Honest)
        for unit, result in honest.results.items()
    ]  # fmt: skip
    drawn = figure(0.33 * len(rows) + 0.9, width_in=9.4)
    intervals(drawn.subplots(), rows)
    caption = (
        "Balanced accuracy with its 95 % interval over encounters. Open: the study's split, where "
        "encounters stand on both sides. Filled: told straight, encounters never heard. Dashes: "
        f"always naming one class. Without listening: from {NO_SOUND} alone; the animals may have "
        "a part in the last two."
    )
    return _chart(study, "overview", drawn, caption)


def _chart(study: Study, name: str, drawn: Figure, caption: str) -> Chart:
    """Write a figure as PNG, and make a part of the page."""
    with whole_file(study.out / "figures" / f"{name}.png") as part:
        drawn.savefig(part, format="png", dpi=_PNG_DPI, facecolor="white")
    drawn.set_layout_engine("none")  # the layout is final after the first drawing
    return chart(drawn, description=caption, caption=caption)


def _panels(drawn: Figure, n: int, n_columns: int) -> Sequence[Axes]:
    """Fill a figure with the axes of n panels, row by row."""
    axes = drawn.subplots(-(-n // n_columns), n_columns, squeeze=False).ravel()
    for ax in axes[n:]:
        ax.set_axis_off()
    return list(axes[:n])


def _histories(drawn: Figure, panels: Mapping[str, Any], *, n_columns: int, y: str) -> None:
    """Draw the losses of results over epochs; of a failed training, the axes only."""
    axes = _panels(drawn, len(panels), n_columns)
    for ax, (title, result) in zip(axes, panels.items(), strict=True):
        trainings = [] if isinstance(result, str) else result.trainings
        history_curves(
            ax, [training["history"] for training in trainings],
            best_epochs=[training["best_epoch"] for training in trainings], title=title, y=y,
        )  # fmt: skip
    _line_legend(drawn, ("training", "validation"))


def _curves(
    axes: Sequence[Axes], is_class: Any, probabilities: Sequence[Any], *, title: str
) -> None:
    if not is_class.any():
        style(axes[0], title=f"{title}: no clip of the class")
        style(axes[1])
        return
    precision_recall(axes[0], is_class, probabilities, colour=BLUE, title=title)
    threshold_curves(axes[1], is_class, probabilities)
    for few in probabilities:
        if len(np.unique(few)) <= _FEW:  # a line would hide that the curve has few points
            precision, recall, _ = precision_recall_curve(is_class, few)
            axes[0].plot(recall[:-1], precision[:-1], "o", color=BLUE, markersize=5)


def _line_legend(drawn: Figure, names: tuple[str, str]) -> None:
    lines = [
        Line2D([], [], color=BLUE, linewidth=1.6, label=names[0]),
        Line2D([], [], color=VERMILLION, linestyle="--", linewidth=1.6, label=names[1]),
    ]
    drawn.legend(
        handles=lines, loc="outside upper left", ncols=2, frameon=False, fontsize=SMALL_PT,
        labelcolor=INK,
    )  # fmt: skip
