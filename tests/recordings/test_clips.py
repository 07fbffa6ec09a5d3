"""Windows, clips, and the rows of Raven tables."""

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import xxhash
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pseudorca.errors import ClipError
from pseudorca.formats.raven import read_selection_table
from pseudorca.recordings.clips import (
    ClipOptions,
    Selections,
    clip_samples,
    clips_project,
    cut,
    read_raven,
    windows,
)
from pseudorca.recordings.manifest import Manifest, scan
from pseudorca.recordings.scan import scan_project
from pseudorca.store import Store

Scanned = Callable[..., Manifest]

rates = st.sampled_from([50, 600, 8_000, 44_100, 96_000, 500_000, 1_000_000])
lengths = st.sampled_from([0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0]) | st.floats(0.05, 20)
shares = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9])


# Windows


def placed_windows(duration_s: float, options: ClipOptions) -> list[tuple[float, float]]:
    starts_s, ends_s = windows(duration_s, options)
    return list(zip(starts_s.tolist(), ends_s.tolist(), strict=True))


@settings(max_examples=300, deadline=None)
@given(
    n_frames=st.integers(256, 2_000_000),
    rate=rates,
    window_s=lengths,
    share=shares,
    most=st.none() | st.integers(1, 20),
    pad=st.sampled_from(["tile", "zero", "drop"]),
    min_fill=st.sampled_from([0.01, 0.5, 1.0]),
)
def test_windows_lie_inside_in_order_and_are_equally_long(
    n_frames: int,
    rate: int,
    window_s: float,
    share: float,
    most: int | None,
    pad: str,
    min_fill: float,
) -> None:
    duration_s = n_frames / rate
    hop_s = window_s * (1 - share)
    assume(duration_s / hop_s < 5_000)
    options = ClipOptions(
        window_s=window_s,
        overlap_s=window_s * share,
        max_per_recording=most,
        pad=pad,  # type: ignore[arg-type]
        min_fill=min_fill,
    )
    placed = placed_windows(duration_s, options)
    if duration_s < window_s - 1e-6:
        assert placed == ([] if pad == "drop" else [(0.0, duration_s)])
        return
    assert placed
    starts = [start for start, _ in placed]
    assert starts[0] == 0
    assert starts == sorted(starts)
    assert all(0 <= start < end <= duration_s for start, end in placed)
    n_samples = [end * rate - start * rate for start, end in placed]
    assert np.allclose(n_samples[:-1], window_s * rate, atol=1e-3)
    assert min_fill * window_s - 1e-6 <= placed[-1][1] - placed[-1][0] <= window_s + 1e-6
    if pad == "drop" or most is not None:
        assert n_samples[-1] == pytest.approx(window_s * rate, abs=1e-3)
    if most is not None:
        assert len(placed) == min(most, math.ceil(duration_s / hop_s - 1e-9))
        if len(placed) > 1:
            assert placed[-1][1] == pytest.approx(duration_s)
            assert np.ptp(np.diff(starts)) < 1e-6
    else:
        assert np.allclose(np.diff(starts), hop_s)
        assert duration_s - placed[-1][1] < max(min_fill, 1e-6) * window_s + 1e-6 or pad == "drop"
        new = [later[1] - earlier[1] for earlier, later in pairwise(placed)]
        assert all(seconds > 0 for seconds in new)  # each window brings sound that none had before


@pytest.mark.parametrize(
    ("duration_s", "expected"),
    [
        (1.0, [(0, 1)]),
        (2.9, [(0, 2.9)]),
        (3.0, [(0, 3)]),
        (4.49, [(0, 3)]),
        (4.5, [(0, 3), (3, 4.5)]),
        (6.0, [(0, 3), (3, 6)]),
        (8.0, [(0, 3), (3, 6), (6, 8)]),
    ],
)
def test_default_windows_are_three_seconds_and_keep_a_half_full_rest(
    duration_s: float, expected: list[tuple[float, float]]
) -> None:
    assert placed_windows(duration_s, ClipOptions()) == expected
    dropped = [window for window in expected if window[1] - window[0] == 3]
    assert placed_windows(duration_s, ClipOptions(pad="drop")) == dropped


def test_overlapping_windows_do_not_repeat_the_end() -> None:
    options = ClipOptions(window_s=3, overlap_s=2)
    assert placed_windows(5.0, options) == [(0, 3), (1, 4), (2, 5)]
    assert placed_windows(5.5, options) == [(0, 3), (1, 4), (2, 5), (3, 5.5)]


def test_windows_of_the_measured_protocol_are_spread_evenly() -> None:
    options = ClipOptions(max_per_recording=10)
    assert placed_windows(7.0, options) == [(0, 3), (2, 5), (4, 7)]
    assert placed_windows(6.0, options) == [(0, 3), (3, 6)]
    placed = placed_windows(300.0, options)
    assert len(placed) == 10
    assert placed[0] == (0, 3)
    assert placed[-1] == (297, 300)


def test_whole_recordings_are_one_clip() -> None:
    assert placed_windows(1234.5, ClipOptions(window_s=None)) == [(0, 1234.5)]


@pytest.mark.parametrize(
    "options",
    [
        {"window_s": 0},
        {"window_s": -1},
        {"window_s": math.nan},
        {"window_s": math.inf},
        {"overlap_s": 3.0},
        {"overlap_s": -0.1},
        {"max_per_recording": 0},
        {"pad": "mirror"},
        {"min_fill": 0},
        {"min_fill": 1.1},
        {"channels": "0"},
        {"channels": "left"},
        {"channels": "²"},
    ],
)
def test_senseless_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ClipError):
        ClipOptions(**options)  # type: ignore[arg-type]


# Clips


def recordings(*rows: dict[str, object]) -> pd.DataFrame:
    """A table of recordings from what differs."""
    made = []
    for k, row in enumerate(rows):
        made.append(
            {
                "recording_id": f"recording{k}", "root": "/sea", "path": f"Insular/x{k}.wav",
                "sample_rate": 8_000, "n_channels": 1, "duration_s": 7.0, "label": "Insular",
                "encounter": "Lasker_AC_1", "channel": None, "moment_id": f"moment{k}",
            } | row
        )  # fmt: skip
    table = pd.DataFrame(made)
    table["channel"] = table["channel"].astype("Int64")
    return table.astype(
        dict.fromkeys(("recording_id", "label", "encounter", "moment_id"), "string")
    )


def test_clips_carry_what_is_known_of_their_recording() -> None:
    clips, problems = cut(recordings({}, {"label": None, "encounter": "unlabelled/e"}))
    assert problems.empty
    assert clips["recording_id"].tolist() == ["recording0"] * 2 + ["recording1"] * 2
    assert clips["label"].tolist()[:2] == ["Insular", "Insular"]
    assert clips["label"].isna().tolist() == [False, False, True, True]
    assert clips["encounter"].tolist()[2:] == ["unlabelled/e"] * 2
    assert clips[["start_s", "end_s"]].values.tolist() == [[0, 3], [3, 6]] * 2
    assert clips["channel"].tolist() == ["1"] * 4


@pytest.mark.parametrize("pad", ["tile", "zero"])
def test_padding_is_recorded(pad: str) -> None:
    clips, _ = cut(recordings({"duration_s": 1.25}, {"duration_s": 5.0}), ClipOptions(pad=pad))
    assert clips["padded_s"].tolist() == [1.75, 0, 1]
    assert clips["pad"].tolist() == [pad, "", pad]


def test_what_is_too_short_to_keep_is_a_problem() -> None:
    clips, problems = cut(
        recordings({"duration_s": 1.25}, {"duration_s": 5.0}), ClipOptions(pad="drop")
    )
    assert clips["end_s"].tolist() == [3]
    assert clips["padded_s"].tolist() == [0]
    assert problems[["path", "stage", "reason"]].values.tolist() == [
        ["Insular/x0.wav", "clips", "shorter than a clip"]
    ]


def test_rounding_is_not_padding() -> None:
    nearly = recordings({"duration_s": 2.9999999999}, {"duration_s": 3.0000000001})
    clips, problems = cut(nearly, ClipOptions(pad="drop"))
    assert clips["padded_s"].tolist() == [0, 0]
    assert problems.empty


def test_channel_policies() -> None:
    six = recordings({"n_channels": 6})
    heard = {
        policy: cut(six, ClipOptions(window_s=None, channels=policy))[0]["channel"].tolist()
        for policy in ("mean", "first", "each", "4", "06")
    }
    assert heard == {
        "mean": ["mean"], "first": ["1"], "each": ["1", "2", "3", "4", "5", "6"], "4": ["4"],
        "06": ["6"],
    }  # fmt: skip
    clips, problems = cut(six, ClipOptions(channels="7"))
    assert clips.empty
    assert problems["reason"].tolist() == ["no such channel"]


def test_a_file_of_one_named_channel_holds_only_that() -> None:
    named = recordings({"channel": 5}, {"channel": 3}, {})
    clips, problems = cut(named, ClipOptions(window_s=None, channels="5"))
    assert clips["recording_id"].tolist() == ["recording0"]
    assert clips["channel"].tolist() == ["1"]
    assert problems["path"].tolist() == ["Insular/x1.wav", "Insular/x2.wav"]
    for policy in ("mean", "first", "each"):
        clips, problems = cut(named, ClipOptions(window_s=None, channels=policy))
        assert clips["channel"].tolist() == ["1", "1", "1"]
        assert problems.empty


def test_channels_share_moments_and_windows_do_not() -> None:
    known = recordings({"n_channels": 4}, {"moment_id": "moment0"})
    clips, _ = cut(known, ClipOptions(channels="each"))
    moments = clips.groupby("moment_id")["start_s"].agg(["size", "nunique"])
    assert moments["size"].tolist() == [5, 5]
    assert moments["nunique"].tolist() == [1, 1]
    assert clips["clip_id"].is_unique


@settings(max_examples=40, deadline=None)
@given(
    durations=st.lists(st.integers(256, 400_000), min_size=1, max_size=5),
    window_s=st.none() | st.sampled_from([0.5, 1.0, 3.0]),
    overlap=st.sampled_from([0.0, 0.5]),
    most=st.none() | st.integers(1, 5),
    pad=st.sampled_from(["tile", "zero"]),
    channels=st.sampled_from(["mean", "first", "each"]),
    n_channels=st.integers(1, 3),
)
def test_clip_ids_come_from_content_and_settings_only(
    durations: list[int],
    window_s: float | None,
    overlap: float,
    most: int | None,
    pad: str,
    channels: str,
    n_channels: int,
) -> None:
    options = ClipOptions(
        window_s=window_s,
        overlap_s=overlap * (window_s or 0),
        max_per_recording=most,
        pad=pad,  # type: ignore[arg-type]
        channels=channels,
    )
    table = recordings(*({"duration_s": n / 8_000, "n_channels": n_channels} for n in durations))
    clips, problems = cut(table, options)
    assert problems.empty
    assert clips["clip_id"].is_unique
    assert set(clips["recording_id"]) == set(table["recording_id"])
    columns = ["recording_id", "channel", "start_s", "end_s", "padded_s", "pad"]
    assert not clips.duplicated(columns).any()
    moved = table.assign(path="elsewhere/" + table["path"], root="/ashore", label="Pelagic")
    again = cut(moved.iloc[::-1], options)[0]
    assert set(again["clip_id"]) == set(clips["clip_id"])
    if window_s is not None:
        total = clips["end_s"] - clips["start_s"] + clips["padded_s"]
        assert np.allclose(total, window_s)
        assert set(clips.loc[clips["padded_s"] > 0, "pad"]) <= {pad}


def test_clip_ids_are_hashes_of_recording_channel_times_and_padding() -> None:
    table = recordings({"duration_s": 7.9, "n_channels": 2}, {"duration_s": 2.0})
    clips = cut(table, ClipOptions(window_s=3.0, overlap_s=1 / 3, channels="each"))[0]
    assert clips["channel"].tolist() == ["1", "2", "1", "2", "1", "2", "1"]
    for row in clips.itertuples():
        text = (
            f"{row.recording_id}|{row.channel}|{row.start_s:.6f}|{row.end_s:.6f}|{row.padded_s:.6f}"
        )
        text += f"|{row.pad}" if row.pad else ""
        assert row.clip_id == xxhash.xxh3_128(text.encode()).hexdigest()[:20]
    assert (clips["pad"] != "").tolist() == [False] * 4 + [True] * 3


def test_other_settings_give_other_clips() -> None:
    table = recordings({"duration_s": 5.0, "n_channels": 2})
    made = [
        cut(table, options)[0]
        for options in (
            ClipOptions(),
            ClipOptions(channels="each"),
            ClipOptions(window_s=2.5),
            ClipOptions(window_s=None),
            ClipOptions(window_s=5.5),
            ClipOptions(window_s=5.5, pad="zero"),
        )
    ]
    ids = pd.concat(made)["clip_id"]
    assert ids.is_unique
    assert (
        cut(table, ClipOptions(min_fill=0.6))[0]["clip_id"].tolist() == made[0]["clip_id"].tolist()
    )


def test_no_recordings_give_no_clips() -> None:
    clips, problems = cut(recordings({}).iloc[:0])
    assert clips.empty
    assert problems.empty
    assert clips["start_s"].dtype == np.float64


def test_real_recordings_give_clips(scanned_watkins: Manifest) -> None:
    found = scanned_watkins
    clips, problems = cut(found.recordings, ClipOptions(max_per_recording=10))
    assert problems.empty
    assert clips["clip_id"].is_unique
    per_recording = clips.groupby("recording_id").size()
    durations = found.recordings.set_index("recording_id")["duration_s"]
    expected = np.minimum(10, np.ceil(durations / 3)).astype(int)
    assert per_recording.to_dict() == expected.to_dict()


# Samples of a clip


def test_short_clips_are_filled_as_asked() -> None:
    samples = np.arange(8, dtype=np.float32).reshape(2, 4)
    assert clip_samples(samples, "1", n_frames=10, pad="tile").tolist() == [0, 1, 2, 3] * 2 + [0, 1]
    assert clip_samples(samples, "2", n_frames=6, pad="zero").tolist() == [4, 5, 6, 7, 0, 0]
    assert clip_samples(samples, "mean", n_frames=3, pad="tile").tolist() == [2, 3, 4]
    assert clip_samples(samples, "mean", n_frames=4, pad="").dtype == np.float32


# Raven tables

HEADER = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)"


@pytest.fixture
def raven(tmp_path: Path) -> Callable[..., Path]:
    """Write a selection table from its lines, columns parted by spaces wider than one."""

    def make(*lines: str, header: str = HEADER, name: str = "x0.Table.1.selections.txt") -> Path:
        path = tmp_path / name
        path.write_text("\n".join([header, *(line.replace("  ", "\t") for line in lines)]) + "\n")
        return path

    return make


def stretches(selections: Selections) -> list[tuple[str, str, float, float]]:
    assert not selections.problems
    return [tuple(row) for row in selections.stretches.itertuples(index=False)]


def test_a_table_belongs_to_the_recording_it_is_called_after(raven: Callable[..., Path]) -> None:
    known = recordings({}, {})
    expected = [("recording0", "", 0.5, 2.0), ("recording0", "", 3.0, 4.0)]
    lines = ("1  Spectrogram 1  1  0.5  2.0  100  4000", "2  Spectrogram 1  1  3.0  4.0  100  4000")
    for name in ("x0.Table.1.selections.txt", "x0.txt", "x0.wav.txt", "x0.selections.txt",
                 "X0.Table.2.selections.txt"):  # fmt: skip
        assert stretches(read_raven([raven(*lines, name=name)], known)) == expected


def test_two_views_of_a_selection_are_one(raven: Callable[..., Path]) -> None:
    known = recordings({"n_channels": 2})
    path = raven(
        "1  Waveform 1  2  0.5  2.0  0  4000",
        "1  Spectrogram 1  2  0.5  2.0  100  4000",
        "2  Spectrogram 1  2  0.5  2.0  100  4000",
        "1  Spectrogram 1  2  3.5  4.0  100  4000",
    )
    found = stretches(read_raven([path], known))
    assert found == [("recording0", "2", 0.5, 2.0)] * 2 + [("recording0", "2", 3.5, 4.0)]
    selections = read_raven([path], known).stretches
    clips, _ = cut(known, ClipOptions(window_s=None), selections=selections)
    assert clips[["start_s", "end_s"]].values.tolist() == [[0.5, 2.0], [3.5, 4.0]]


def test_file_offset_goes_before_the_running_begin_time(raven: Callable[..., Path]) -> None:
    path = raven(
        "1  S  1  1.0  2.0  0  9  x0.wav  1.0",
        "2  S  1  8.0  9.5  0  9  x1.wav  1.0",
        "3  S  1  13.5  15.5  0  9  x1.wav  6.5",
        header=HEADER + "\tBegin File\tFile Offset (s)",
        name="all.txt",
    )
    assert stretches(read_raven([path], recordings({}, {}))) == [
        ("recording0", "", 1.0, 2.0),
        ("recording1", "", 1.0, 2.5),
        ("recording1", "", 6.5, 7.0),  # ends with its file
    ]


@pytest.mark.parametrize(
    "begin_path",
    [
        "/sea/Pelagic/b/x.wav",
        r"D:\data\HICEAS\Pelagic\b\x.wav",
        "Pelagic/b/x.wav",
        "/ashore/pelagic/B/X.WAV",
    ],
)
def test_begin_path_tells_recordings_of_one_name_apart(
    begin_path: str, raven: Callable[..., Path]
) -> None:
    known = recordings({"path": "Insular/a/x.wav"}, {"path": "Pelagic/b/x.wav"})
    header = HEADER + "\tBegin Path\tBegin File"
    path = raven(f"1  S  1  1.0  2.0  0  9  {begin_path}  x.wav", header=header)
    assert stretches(read_raven([path], known)) == [("recording1", "", 1.0, 2.0)]
    path = raven(f"1  S  1  1.0  2.0  0  9  {begin_path}", header=HEADER + "\tBegin Path")
    assert stretches(read_raven([path], known)) == [("recording1", "", 1.0, 2.0)]


def test_a_name_of_two_recordings_is_a_problem(raven: Callable[..., Path]) -> None:
    known = recordings({"path": "Insular/a/x.wav"}, {"path": "Pelagic/b/x.wav"})
    path = raven("1  S  1  1.0  2.0  0  9  x.wav", header=HEADER + "\tBegin File")
    found = read_raven([path], known)
    assert found.stretches.empty
    assert [problem[2] for problem in found.problems] == ["several recordings of this name"]


@pytest.mark.parametrize(
    ("line", "path", "reason", "detail"),
    [
        ("1  S  1  1.0  2.0  0  9  gone.wav", "", "no such recording", "'gone.wav'"),
        ("1  S  1  1.0  2.0  0  9  lost.wav", "b/lost.wav", "recording not usable", "silent"),
        ("1  S  1  9.0  9.5  0  9  x0.wav", "x0", "selection outside the recording", "line 3"),
        ("1  S  1  -1.0  0.5  0  9  x0.wav", "x0", "selection outside the recording", "line 3"),
        ("1  S  1  2.0  1.0  0  9  x0.wav", "x0", "selection outside the recording", "line 3"),
        ("1  S  1    2.0  0  9  x0.wav", "x0", "selection without times", "line 3"),
        ("1  S  1  1.0    0  9  x0.wav", "x0", "selection without times", "line 3"),
        ("1  S  1  one  2.0  0  9  x0.wav", "x0", "selection without times", "'one'"),
        ("1  S  3  1.0  2.0  0  9  x1.wav", "x1", "no such channel", "channel 3"),
        ("1  S  0  1.0  2.0  0  9  x1.wav", "x1", "no such channel", "channel 0"),
        ("1  S  b  1.0  2.0  0  9  x1.wav", "x1", "no such channel", "channel b"),
        ("1  S  1  1.0  2.0  0  9  x0.wav  more", "", "broken row", "line 3"),
    ],
)
def test_lines_that_cannot_be_cut_are_problems_and_the_others_are_cut(
    line: str, path: str, reason: str, detail: str, raven: Callable[..., Path]
) -> None:
    good = "7  S  1  1.0  2.0  0  9  x0.wav"
    table = raven(good, line, good.replace("7", "8"), header=HEADER + "\tBegin File")
    known = recordings({}, {"n_channels": 2})
    found = read_raven([table], known, unusable={"b/lost.wav": "silent"})
    assert found.stretches["start_s"].tolist() == [1.0, 1.0]
    (problem,) = found.problems
    assert problem[2] == reason
    assert detail in problem[3]
    paths = {"": str(table), "x0": "Insular/x0.wav", "x1": "Insular/x1.wav"}
    assert problem[0] == paths.get(path, path)


def test_problems_name_the_line_of_the_file_whatever_was_passed_over(
    raven: Callable[..., Path],
) -> None:
    path = raven(
        "1  Waveform 1  1  0.5  2.0  0  9  x0.wav",
        "1  Spectrogram 1  1  0.5  2.0  0  9  x0.wav",
        "",
        "2  Waveform 1  1  1.5  2.0  0  9  x0.wav",
        "2  Spectrogram 1  1  1.5  2.0  0  9  x0.wav",
        '3  "Spectrogram\n1"  1  1.6  2.0  0  9  x0.wav',
        " ",
        "4  Spectrogram 1  1  9.0  9.5  0  9  x0.wav",
        header=HEADER + "\tBegin File",
    )
    lines = path.read_text().split("\n")
    number = next(n for n, line in enumerate(lines, 1) if line.startswith("4\t"))
    assert number == 10
    (problem,) = read_raven([path], recordings({})).problems
    assert "line 10" in problem[3]


def test_read_selection_table_keeps_the_line_of_each_selection(raven: Callable[..., Path]) -> None:
    path = raven(
        "1  Waveform 1  1  0.5  2.0  0  9",
        "1  Spectrogram 1  1  0.5  2.0  0  9",
        "2  Spectrogram 1  1  3.0  4.0  0  9",
    )
    table = read_selection_table(path)
    assert table.numbers("Begin Time (s)").to_dict() == {2: 0.5, 4: 3.0}
    assert read_selection_table(raven()).cells.empty


def test_other_tables_are_not_taken_for_ravens(raven: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ClipError, match=r"no column Begin Time \(s\) or End Time \(s\); got start"):
        read_raven([raven("0.5  1.0", header="start\tend")], recordings({}))
    with pytest.raises(ClipError, match="cannot be read"):
        read_raven([tmp_path / "nowhere.txt"], recordings({}))
    (tmp_path / "empty.txt").touch()
    with pytest.raises(ClipError, match="no table"):
        read_raven([tmp_path / "empty.txt"], recordings({}))


def test_selections_are_cut_like_recordings_of_their_own(raven: Callable[..., Path]) -> None:
    known = recordings({"n_channels": 2}, {}, {})
    path = raven(
        "1  S  2  0.5  5.5  0  9  x0.wav",
        "2  S  1  1.0  2.0  0  9  x1.wav",
        "3  S  1  3.0  3.01  0  9  x1.wav",
        header=HEADER + "\tBegin File",
    )
    clips, problems = cut(known, ClipOptions(), selections=read_raven([path], known).stretches)
    columns = ["recording_id", "channel", "start_s", "end_s", "padded_s"]
    assert clips[columns].values.tolist() == [
        ["recording0", "2", 0.5, 3.5, 0.0],
        ["recording0", "2", 3.5, 5.5, 1.0],
        ["recording1", "1", 1.0, 2.0, 2.0],
    ]
    assert problems[["path", "reason"]].values.tolist() == [
        ["Insular/x1.wav", "shorter than one spectrogram frame"],
        ["Insular/x2.wav", "no selection"],
    ]


def test_a_number_as_a_file_name_is_a_name(tmp_path: Path, raven: Callable[..., Path]) -> None:
    sf.write(tmp_path / "62018001.wav", np.random.default_rng(0).normal(0, 0.1, 8_000), 8_000)
    path = raven("1  S  1  0.1  0.5  0  9  62018001", header=HEADER + "\tBegin File", name="a.txt")
    assert len(read_raven([path], scan(tmp_path).recordings).stretches) == 1


def test_a_selection_table_with_an_empty_cell_of_text_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.selections.txt"
    path.write_text(
        "Selection\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tBegin Path\n"
        "1\t0.0\t1.0\t0\t4000\ta.wav\n2\t2.0\t3.0\t0\t4000\t\n3\t4.0\t5.0\t0\t4000\ta.wav\n"
    )
    assert read_selection_table(path).cells.index.tolist() == [2, 3, 4]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", ["\t", ";", ","])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("decimal", [".", ","])
def test_any_writing_of_a_selection_table_gives_the_same_selections(
    decimal: str, line_end: str, delimiter: str, encoding: str, tmp_path: Path
) -> None:
    rows = [
        ["Selection", "Begin Time (s)", "end time (S)", "Begin File", "Note"],
        ["1", "0.5", "2.125", "x0.wav", '"señal?'],
        [""] * 5,
        ["2", "1.0", "2.0", "x1.wav", '"loud"?'],
        ["3", "3.25", "4.5", "x1.wav", ""],
    ]
    for row in rows[1:]:
        row[1:3] = [f'"{cell.replace(".", decimal)}"' if cell else "" for cell in row[1:3]]
    path = tmp_path / "all.txt"
    path.write_bytes(line_end.join(map(delimiter.join, rows)).encode(encoding))
    found = read_raven([path], recordings({}, {}))
    assert stretches(found) == [
        ("recording0", "", 0.5, 2.125), ("recording1", "", 1.0, 2.0), ("recording1", "", 3.25, 4.5),
    ]  # fmt: skip
    assert "1 selection table" in found.notices[0]


@pytest.mark.parametrize("text", ["0.5\t2.0\twhistle\n3.0\t4.0\t\n", "0,5\t2,0\n3,0\t4,0\n",
                                  "0.5\t2.0\tA\n\\\t100.0\t4000.0\n3.0\t4.0\tB\n"])  # fmt: skip
def test_a_label_track_of_audacity_is_a_table_of_selections(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x0.txt"
    path.write_text(text)
    assert stretches(read_raven([path], recordings({}))) == [
        ("recording0", "", 0.5, 2.0), ("recording0", "", 3.0, 4.0),
    ]  # fmt: skip


def test_a_selection_that_goes_on_after_the_end_is_cut_and_told(
    raven: Callable[..., Path],
) -> None:
    found = read_raven([raven("1  S  1  6.0  60.0  0  9")], recordings({}))
    assert stretches(found) == [("recording0", "", 6.0, 7.0)]
    assert any("53" in notice for notice in found.notices)


def test_what_stands_beside_the_tables_of_a_folder_is_passed_over(tmp_path: Path) -> None:
    root, folder = tmp_path / "rec", tmp_path / "tables" / "of Ana"
    folder.mkdir(parents=True)
    for name in ("x0", "x1"):
        (root / "Insular").mkdir(parents=True, exist_ok=True)
        sound = np.random.default_rng(len(name)).normal(0, 0.1, 8_000) * (1 + (name == "x1"))
        sf.write(root / "Insular" / f"{name}.wav", sound, 8_000)
    (root / "Insular" / "lost.wav").touch()
    good = "Begin Time (s)\tEnd Time (s)\n0.1\t0.5\n"
    (folder / "x0.Table.1.selections.txt").write_text(good)
    (folder / "x1.csv").write_text(good.replace("\t", ";"))
    (folder / "lost.Table.1.selections.txt").write_text(good)
    (folder / "torn.Table.1.selections.txt").write_text("Begin Time (s)\tEnd\n0.1\t0.5\n")
    (folder / "empty.Table.1.selections.txt").touch()
    (folder / "._x0.Table.1.selections.txt").write_bytes(b"\0\5\x16\7")
    (folder / "notes.txt").write_text("seen from the bow\n")
    (folder / "sightings.csv").write_text("path,label\nx0.wav,Insular\n")
    store = Store(tmp_path / "project", create=True)
    scan_project(store, root)
    result = clips_project(store, ClipOptions(window_s=None), selections=[folder.parent])
    assert result.clips["start_s"].tolist() == [0.1, 0.1]
    problems = {(Path(row.path).name, row.reason) for row in result.problems.itertuples()}
    assert problems == {
        ("lost.wav", "recording not usable"),
        ("torn.Table.1.selections.txt", "no selection table"),
    }
    assert any("3 files passed over" in notice for notice in result.notices)
    assert set(store.read("problems", where="stage = 'clips'")["reason"]) == {
        reason for _, reason in problems
    }
    with pytest.raises(ClipError, match="no such file"):
        clips_project(store, selections=[tmp_path / "nowhere"])
