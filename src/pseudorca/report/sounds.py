"""Pictures of the sound itself: examples of every class, and one recording from three sides.

Reads a few seconds of a few files. A file that can no longer be read has no picture, and becomes a
problem of the report. A rule chooses what is shown, so the same project gives the same examples.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from pseudorca.embedding.drawing import read_clip
from pseudorca.errors import AudioError
from pseudorca.frontends.base import FrontEnd
from pseudorca.frontends.common import CommonFrontEnd, filter_weights
from pseudorca.frontends.study_picture import StudyFrontEnd
from pseudorca.pages.blocks import (
    Block,
    Chart,
    Fold,
    Gallery,
    Heading,
    Notices,
    Section,
    Table,
    Text,
    chart,
    figure,
    panels,
)
from pseudorca.pages.plots import COLOURS, FONT_PT, GREY, INK, SMALL_PT, keep_outer_labels
from pseudorca.prediction.decisions import UNDECIDED
from pseudorca.prediction.sets import last_settings
from pseudorca.recordings import audio
from pseudorca.recordings.clips import cut
from pseudorca.recordings.manifest import full_path
from pseudorca.recordings.options import NOTHING, ClipOptions
from pseudorca.report.contents import Contents
from pseudorca.report.found import said_of
from pseudorca.report.sound_plots import Levels, native_levels, spectra, spectrogram, waveforms
from pseudorca.store import condition
from pseudorca.values import plural

_MOST_CLASSES, _FEW_CLASSES = 12, 6
_FEWEST_UNKNOWN, _MOST_UNKNOWN = 3, 6  # clips; as many encounters as the first screen lists
_LEAST_CONTRAST_DB = 10.0
_MOST_CHANNELS = 8
_MOST_TRIED = 5  # recordings that are opened to find one that can be read
_RANGE_DB = 80.0
_STRETCH_S = 3.0
_MOST_SAMPLES = 6_000_000  # of all channels of the stretch


def examples_section(project: Contents) -> Section:
    """Show example spectrograms: of unknown encounters with what was said of them, and of every class.

    Parameters
    ----------
    project : Contents

    Returns
    -------
    Section

    Examples
    --------
    >>> import tempfile
    >>> from pseudorca.report.contents import read_project
    >>> from pseudorca.store import Store
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     section = examples_section(read_project(Store(f"{folder}/project", create=True)))
    >>> section.blocks[0].text
    'No clips: nothing to draw.'
    """
    section = Section("examples", "Examples to look at")
    unknown = _unknown_examples(project)
    known = _known_examples(project)
    if not unknown and not known:
        if project.trouble:
            text = "None of the recordings can be read any more; see the problems of this report."
            section.blocks.append(Notices([text]))
        else:
            section.blocks.append(Text("No clips: nothing to draw."))
        return section
    section.blocks.append(_how_they_are_drawn(project, unknown + known))
    for title, drawn in (("What was asked about", unknown), ("What it learned from", known)):
        if drawn:
            charts = [_example_chart(example) for example in drawn]
            section.blocks += [Heading(title), Gallery(charts)]
    if (n_more := len(project.classes) - _MOST_CLASSES) > 0:
        n_all = len(project.classes)
        section.blocks.append(Text(f"The first {n_all - n_more} of {n_all} classes."))
    section.blocks.append(_examples_table(unknown + known))
    return section


def _known_examples(project: Contents) -> list["Example"]:
    """Two clips of each class, of many classes one."""
    clips, classes = project.labelled_clips, project.classes[:_MOST_CLASSES]
    per_class = 2 if len(classes) <= _FEW_CLASSES else 1
    drawn: list[Example] = []
    for label in classes if len(clips) else ():
        candidates = example_clips(clips[clips["label"] == label], project.recordings, per_class)
        drawn += islice(_readable(project, candidates, {}), per_class)
    return drawn


def _unknown_examples(project: Contents) -> list["Example"]:
    """A clip of each encounter that the first screen lists, of one or two encounters more."""
    sets = last_settings(project.store)
    if not sets:
        return []
    set_name, settings = list(sets.items())[-1]
    asked = said_of(project, settings).head(_MOST_UNKNOWN)
    said = {
        str(row.unit_id): str(row.decision)
        + (f", {row.probability:.2f}" if row.decision not in (UNDECIDED, NOTHING) else "")
        for row in asked.itertuples()
    }
    recordings = project.store.read("predicted", where=condition({"set_name": set_name}))
    recordings = recordings[recordings["encounter"].isin(list(said))]
    clips = project.clips[project.clips["recording_id"].isin(recordings["recording_id"])]
    cut_as = project.classifiers.get(str(settings["name"]), {}).get("clips")
    if clips.empty and cut_as:  # recordings from elsewhere, of which the project has no clips
        by_encounter = recordings.sort_values("path").groupby("encounter", sort=False)
        clips, _ = cut(by_encounter.head(_MOST_TRIED), ClipOptions(**cut_as))
    n_each = max(1, _FEWEST_UNKNOWN // max(len(said), 1))
    drawn: list[Example] = []
    for encounter in said:
        of_encounter = clips[clips["encounter"] == encounter]
        if n_each > 1:  # from several files rather than one sound after the other
            of_encounter = of_encounter.drop_duplicates("recording_id")
        candidates = example_clips(of_encounter, recordings, n_each)
        drawn += islice(_readable(project, candidates, said), n_each)
    return drawn


class Example(NamedTuple):
    """A clip that is drawn, with its levels."""

    clip: Any
    """A row of ``clips`` with ``root``, ``path`` and ``sample_rate`` of its recording."""
    levels: Levels
    name: str
    said: str
    """What the classifier said of its encounter; empty where the label is known."""


def _readable(
    project: Contents, clips: Iterator[Any], said: Mapping[str, str]
) -> Iterator[Example]:
    for clip in clips:
        if (levels := _levels_of(project, clip)) is not None:
            encounter = project.plain(clip.encounter)
            name = encounter if said else f"{clip.label}, {encounter}"
            yield Example(clip, levels, name, said.get(str(clip.encounter), ""))


def three_sides_section(project: Contents) -> Section:
    """Show one recording in time, in frequency and as a spectrogram, a colour per channel.

    The recording with most channels is shown, a labelled one rather than another.

    Parameters
    ----------
    project : Contents

    Returns
    -------
    Section

    Examples
    --------
    >>> import tempfile
    >>> from pseudorca.report.contents import read_project
    >>> from pseudorca.store import Store
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     section = three_sides_section(read_project(Store(f"{folder}/project", create=True)))
    >>> section.blocks[0].text
    'No recording can be read.'
    """
    section = Section("recording", "One recording from three sides")
    recordings = project.recordings
    ranked = recordings.assign(unlabelled=recordings["label"].isna()).sort_values(
        ["n_channels", "unlabelled", "path"], ascending=[False, True, True]
    )
    for recording in ranked.head(_MOST_TRIED).itertuples():
        try:
            section.blocks += _three_sides(recording)
        except AudioError as error:
            project.note_trouble(full_path(recording), error)
        else:
            return section
    section.blocks.append(Text("No recording can be read."))
    return section


def example_clips(clips: pd.DataFrame, recordings: pd.DataFrame, n: int) -> Iterator[Any]:
    """Choose clips to show, from the largest encounters in turn.

    Of each encounter the clip in the middle (by path and time) comes first. Clips that were filled
    up come last.

    Parameters
    ----------
    clips : DataFrame, those to choose from
    recordings : DataFrame, their recordings
    n : int, how many clips are wanted

    Returns
    -------
    iterator of rows, the best first; a few more than ``n``, since some may not be readable

    Examples
    --------
    >>> clips = pd.DataFrame(
    ...     {"clip_id": ["c0", "c1", "c2"], "recording_id": "r", "label": "Pelagic",
    ...      "encounter": "e", "channel": "1", "start_s": [0.0, 3.0, 6.0], "padded_s": 0.0}
    ... )
    >>> recordings = pd.DataFrame(
    ...     {"recording_id": ["r"], "root": "/survey", "path": "a.wav", "sample_rate": 48_000}
    ... )
    >>> next(example_clips(clips, recordings, 1)).clip_id
    'c1'
    """
    candidates = clips.merge(
        recordings[["recording_id", "root", "path", "sample_rate"]], on="recording_id"
    )
    candidates = candidates.sort_values(["path", "start_s", "channel"], ignore_index=True)
    of_encounter = candidates.groupby("encounter")
    size = of_encounter["clip_id"].transform("size")
    from_middle = (of_encounter.cumcount() - size // 2).abs()
    candidates = candidates.assign(turn=from_middle, filled=candidates["padded_s"] > 0, size=size)
    # The best of each encounter first, then the second best of each, ...
    candidates = candidates.sort_values(["filled", "turn"], kind="stable")
    candidates["turn"] = candidates.groupby("encounter").cumcount()
    candidates = candidates.sort_values(
        ["turn", "filled", "size", "encounter"], ascending=[True, True, False, True]
    )
    return candidates.head(n + 4).itertuples()


def _levels_of(project: Contents, clip: Any) -> Levels | None:
    """The levels of a clip by the project's front end; None if the clip cannot be read or used."""
    front_end = project.front_end
    try:
        with audio.Reader(full_path(clip)) as reader:
            waveform = read_clip(reader, clip)
            rate = reader.info.sample_rate
        if isinstance(front_end, CommonFrontEnd):
            return common_levels(front_end, waveform, sample_rate=rate)
        as_in_study = isinstance(front_end, StudyFrontEnd)
        return native_levels(waveform, sample_rate=rate, as_in_study=as_in_study)
    except AudioError as error:
        project.note_trouble(full_path(clip), error)
        return None


def common_levels(
    front_end: CommonFrontEnd, waveform: audio.Samples, *, sample_rate: int
) -> Levels:
    """Compute the levels behind the picture of the common front end, with their axes.

    Parameters
    ----------
    front_end : CommonFrontEnd
    waveform : ndarray [shape=(n_samples,)], full scale = 1
    sample_rate : int, Hz

    Returns
    -------
    Levels

    Examples
    --------
    >>> front_end = CommonFrontEnd.in_band("16k")
    >>> noise = np.random.default_rng(0).standard_normal(8_000).astype(np.float32)
    >>> levels = common_levels(front_end, noise, sample_rate=8_000)
    >>> levels.rows_hz[levels.n_reached - 1] < 4_000
    np.True_
    """
    levels, n_reached = front_end.levels_db(waveform, sample_rate=sample_rate)
    rate = front_end.sample_rate
    _, rows_hz = filter_weights(
        front_end.scale, front_end.n_rows, front_end.fmin_hz, front_end.fmax_hz, 512, rate
    )
    hop = max(1, round(front_end.hop_ms * 1e-3 * rate)) / rate
    frames_s = np.arange(levels.shape[1], dtype=np.float64) * hop + front_end.window_ms * 0.5e-3
    return Levels(np.asarray(levels, dtype=np.float64), rows_hz, frames_s, n_reached)


def _example_chart(example: Example) -> Chart:
    """One spectrogram with the contrast of its own sound; what was repeated to fill it is grey."""
    clip, levels = example.clip, example.levels
    sound = levels.db[: levels.n_reached, levels.frames_s <= clip.end_s - clip.start_s]
    low, high = own_contrast(sound if sound.size else levels.db)
    chart_figure = figure(1.75, width_in=3.1)
    ax = chart_figure.subplots()
    spectrogram(ax, levels, low=low, high=high, start_s=clip.start_s)
    ax.set_ylabel("kHz")
    if clip.padded_s > 0:
        grey_out(ax, clip.end_s, "repeated" if clip.pad == "tile" else "silence added")
    said = f": {example.said}" if example.said else ""
    caption = Markup("<strong>{}</strong>{}").format(example.name, said)
    return chart(chart_figure, description=f"Spectrogram of {example.name}{said}", caption=caption)


def own_contrast(db: NDArray[np.floating]) -> tuple[float, float]:
    """Choose the levels at the ends of the colour map for one clip.

    Parameters
    ----------
    db : ndarray [shape=(n_rows, n_frames)], decibels of what was recorded

    Returns
    -------
    low, high : float, decibels: a third of the picture is darker than ``low``, and one cell in 500
        brighter than ``high``; at least 10 dB apart

    Examples
    --------
    >>> own_contrast(np.linspace(-90, 910, 1001)[None, :])
    (210.0, 908.0)
    """
    low, high = (float(level) for level in np.quantile(db, (0.3, 0.998)))
    return low, max(high, low + _LEAST_CONTRAST_DB)


def grey_out(ax: Axes, from_s: float, why: str) -> None:
    """Cover a spectrogram from a time on, and say why.

    Examples
    --------
    >>> ax = Figure().add_subplot()
    >>> _ = ax.set_xlim(0, 3)
    >>> grey_out(ax, 2.0, "repeated")
    >>> ax.patches[0].get_x(), ax.texts[0].get_text()
    (2.0, 'repeated')
    """
    left, right = ax.get_xlim()
    ax.axvspan(from_s, right, facecolor=GREY, alpha=0.82, linewidth=0)
    if right - from_s > 0.25 * (right - left):
        middle = (from_s + right) / 2
        ax.text(middle, 0.5, why, transform=ax.get_xaxis_transform(), ha="center", va="center",
                fontsize=SMALL_PT, color="#fefefe")  # fmt: skip
    ax.set_xlim(left, right)


def _how_they_are_drawn(project: Contents, drawn: Sequence[Example]) -> Text:
    front_end = project.front_end
    line = (
        "Time in seconds to the right, frequency in kHz upwards, bright is loud; each picture has its "
        "own contrast."
    )
    more = (
        f"{_in_words(front_end, is_joint='members' in (project.embedder or {}))} Colours begin at the "
        "level below which a third of the clip lies, and end at the loudest 1 in 500. Chosen by rule: "
        "the middle clip of the largest encounters, clips that fill the window first."
    )
    if any(clip.padded_s > 0 for clip, *_ in drawn):
        line += " Grey: no sound of its own, filled up to the length of the window."
    if any(levels.n_reached < len(levels.rows_hz) for _, levels, *_ in drawn):
        more += " Plain grey at the top: above what the recording's sample rate reaches."
    return Text(line, more=more)


def _in_words(front_end: FrontEnd | None, *, is_joint: bool) -> str:
    if isinstance(front_end, CommonFrontEnd):
        removed = {
            "keep": "",
            "median": ", each row's median removed",
            "quartile": ", each row's lower quartile removed",
        }
        return (
            f"What the {'first ' * is_joint}network hears: the common front end's own levels "
            f"({front_end.n_rows} rows on a {front_end.scale} scale from "
            f"{front_end.fmin_hz / 1000:g} to {front_end.fmax_hz / 1000:g} kHz, windows of "
            f"{front_end.window_ms:g} ms every {front_end.hop_ms:g} ms{removed[front_end.background]})."
        )
    if isinstance(front_end, StudyFrontEnd):
        return (
            "Spectrograms as in the study (scipy.signal.spectrogram with its defaults, at each "
            "recording's own sample rate), in decibels."
        )
    return "Spectrograms at each recording's own sample rate (Hann windows of about 16 ms)."


def _examples_table(drawn: Sequence[Example]) -> Fold:
    rows = [
        (
            example.name, str(example.clip.path),
            f"{example.clip.start_s:.2f} to {example.clip.end_s:.2f} s",
            str(example.clip.channel), f"{example.clip.sample_rate / 1000:g} kHz",
        )
        for example in drawn
    ]  # fmt: skip
    columns = ("", "recording", "clip", "channel", "sample rate")
    return Fold("Where these clips are", [Table(columns, rows)])


def _three_sides(recording: Any) -> list[Block]:
    with audio.Reader(full_path(recording)) as reader:
        info = reader.info
        n_frames = min(
            info.n_frames, int(_STRETCH_S * info.sample_rate), _MOST_SAMPLES // info.n_channels
        )
        n_frames = max(n_frames, min(info.n_frames, audio.MIN_FRAMES))
        first = (info.n_frames - n_frames) // 2
        samples = reader.read(first, n_frames)[:_MOST_CHANNELS]
    audio.check_finite(samples, offset_s=first / info.sample_rate, sample_rate=info.sample_rate)
    rate, start_s = info.sample_rate, first / info.sample_rate
    n, colours = len(samples), COLOURS[: len(samples)]
    shown = plural(n, "channel") if n == info.n_channels else f"{n} of {info.n_channels} channels"
    stretch = f"{start_s:.2f} to {start_s + n_frames / rate:.2f} s of {info.duration_s:.2f} s"
    where = f"{recording.path} ({shown}, {rate / 1000:g} kHz, {info.format}; {stretch})"

    in_time = figure(2.2 if n == 1 else 0.8 + 0.36 * n)
    waveforms(in_time.subplots(), samples, sample_rate=rate, colours=colours, start_s=start_s)
    in_frequency = figure(2.9)
    spectra(in_frequency.subplots(), samples, sample_rate=rate, colours=colours)
    one_below = "Channels stand one below the other, at one scale. " if n > 1 else ""
    per_channel = " of each channel, in the channel's colour" if n > 1 else ""
    title = "The recording with most channels" if info.n_channels > 1 else "Recording"
    return [
        Text(f"{title}: {where}."),
        chart(
            in_time,
            description=f"Waveforms of {where}.",
            caption=f"Time domain. {one_below}Amplitude relative to full scale.",
        ),
        chart(
            in_frequency,
            description=f"Magnitude spectra of {where}.",
            caption=f"Frequency domain: magnitude spectrum{per_channel} (Fourier transform of the "
            "whole stretch with a Hann window, a sine of full scale at 0 dB, the largest in each of "
            "180 bands).",
        ),
        _spectrograms(samples, rate, start_s, colours, where),
    ]


def _spectrograms(
    samples: audio.Samples, rate: int, start_s: float, colours: Sequence[str], where: str
) -> Chart:
    n = len(samples)
    n_columns = 1 if n == 1 else 2 if n in (2, 4) else 3
    row_in = 2.6 if n == 1 else 2.0
    chart_figure, axes = panels(n, n_columns=n_columns, row_in=row_in, margin_in=0.3)
    of_channel = [native_levels(channel, sample_rate=rate) for channel in samples]
    high = max(float(levels.db.max()) for levels in of_channel)
    for k, (ax, levels) in enumerate(zip(axes, of_channel, strict=True)):
        title = f"channel {k + 1}" if n > 1 else ""
        image = spectrogram(
            ax, levels, low=high - _RANGE_DB, high=high, title=title, title_colour=colours[k],
            start_s=start_s,
        )  # fmt: skip
        if n > 1:
            for spine in ax.spines.values():
                spine.set(visible=True, color=colours[k], linewidth=2)
    keep_outer_labels(axes, n_columns=n_columns)
    _colour_bar(chart_figure, image, "level (dB re full scale)")
    return chart(
        chart_figure,
        description=f"Spectrograms of {where}.",
        caption="Time and frequency: spectrogram at the recording's own rate (Hann windows of about "
        f"16 ms that overlap by three quarters), the upper {_RANGE_DB:g} dB"
        f"{', one scale for all channels' if n > 1 else ''}.",
    )


def _colour_bar(chart_figure: Figure, image: AxesImage, label: str) -> None:
    """Add a colour bar at the right of all panels."""
    axes = list(chart_figure.axes)
    grid = axes[0].get_gridspec()
    assert grid is not None
    shrink = min(1.0, 2.4 / grid.nrows)
    bar = chart_figure.colorbar(image, ax=axes, shrink=shrink, aspect=24, pad=0.015)
    if bar.solids is not None:
        bar.solids.set_rasterized(True)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=SMALL_PT, colors=INK, width=0.8, length=3)
    bar.set_label(label, fontsize=FONT_PT, color=INK)
