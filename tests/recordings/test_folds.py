"""Splits: what stands on which side, for any table of clips."""

import json
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pseudorca.errors import FoldError
from pseudorca.recordings.clips import ClipOptions, cut
from pseudorca.recordings.folds import (
    STUDY_SEED,
    Folds,
    Split,
    assign_folds,
    group_values,
    make_folds,
    stricter_folds,
    verify,
)
from pseudorca.recordings.manifest import Manifest

GROUPED = ["encounter", "recording", "site", "leave-one-encounter-out", "leave-one-site-out"]
DEALT = ["random", "stratified"]


def tables(rows: list[tuple[str, str, str, str, str]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Clips and recordings from (label, encounter, recording, moment, site) per clip."""
    clips = pd.DataFrame(rows, columns=["label", "encounter", "recording_id", "moment_id", "site"])
    clips.insert(0, "clip_id", [f"clip{k:03d}" for k in range(len(rows))])
    recordings = clips.drop_duplicates("recording_id").reset_index(drop=True)
    # A recording's moment: its own, or that of the clip it shares with another recording.
    n_heard = clips.groupby("moment_id")["recording_id"].nunique()
    shared = clips[clips["moment_id"].map(n_heard) > 1].drop_duplicates("recording_id")
    shared = shared.set_index("recording_id")["moment_id"]
    recordings["moment_id"] = [shared.get(r, f"all of {r}") for r in recordings["recording_id"]]
    recordings["metadata"] = [json.dumps({"site": site}) for site in recordings["site"]]
    recordings["start_utc"] = pd.Timestamp("2017-07-28T03:12:59Z")
    recordings["sample_rate"] = 500_000
    recordings["platform"] = pd.array([None] * len(recordings), dtype="string")
    text = ["clip_id", "label", "encounter", "recording_id", "moment_id"]
    return clips[text].astype("string"), recordings.drop(columns=["clip_id", "site"])


@st.composite
def surveys(draw: st.DrawFn) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Any small survey: mixed encounters, moments over several recordings, sites that cut across."""
    labels = draw(st.integers(2, 3))
    n_encounters = draw(st.integers(labels, 9))
    rows = []
    for encounter in range(n_encounters):
        own = encounter if encounter < labels else draw(st.integers(0, labels - 1))
        site = draw(st.integers(0, 5))
        for recording in range(draw(st.integers(1, 3))):
            mixed = draw(st.integers(0, 9)) == 0
            label = draw(st.integers(0, labels - 1)) if mixed else own
            where = draw(st.sampled_from([str(site)] * 4 + [""]))
            for clip in range(draw(st.integers(1, 3))):
                # Files of two channels share their moments.
                file = recording // 2 if draw(st.booleans()) else recording
                rows.append(
                    (f"L{label}", f"e{encounter}", f"e{encounter}r{recording}",
                     f"e{encounter}m{file}c{clip}", where)
                )  # fmt: skip
    order = draw(st.permutations(rows))
    return tables(order)


def try_folds(clips: pd.DataFrame, recordings: pd.DataFrame, split: Split) -> Folds | None:
    """Make folds, or None where the survey has nothing to test."""
    try:
        return make_folds(clips, recordings, split)
    except FoldError as error:
        found = str(error)
    known = ("a classifier needs at least 2", "has nothing to test", "left to train on",
             "no assignment of", "no recording has a site", "That measures nothing")  # fmt: skip
    assert any(text in found for text in known), found
    return None


def components(clips: pd.DataFrame, *ties: "pd.Series[str]") -> list[set[int]]:
    """The slow reference: rows joined by anything they share, until nothing joins any more."""
    sets = [{row} for row in range(len(clips))]
    for values in ties:
        for value in set(values):
            rows = set(np.flatnonzero(values.to_numpy(dtype=object) == value))
            touching = [s for s in sets if s & rows]
            sets = [s for s in sets if not s & rows] + [set().union(*touching)]
    return sets


@settings(max_examples=80, deadline=None)
@given(
    survey=surveys(),
    name=st.sampled_from(GROUPED + DEALT),
    n_folds=st.integers(2, 6),
    n_repeats=st.integers(1, 3),
    seed=st.integers(0, 2**31),
)
def test_folds_never_split_a_group_a_moment_or_an_encounter(
    survey: tuple[pd.DataFrame, pd.DataFrame], name: str, n_folds: int, n_repeats: int, seed: int
) -> None:
    clips, recordings = survey
    split = Split(name, n_folds=n_folds, n_repeats=n_repeats, seed=seed)
    folds = try_folds(clips, recordings, split)
    if folds is None:
        return
    moment_of = recordings.set_index("recording_id")["moment_id"]
    heard = clips["recording_id"].map(moment_of)
    alone = ~heard.isin(moment_of[moment_of.duplicated()])
    files = heard.mask(alone, clips["moment_id"])
    whole = [clips["moment_id"], files, group_values(clips, recordings, split.group_by)]
    if name not in ("random", "stratified", "recording"):
        whole.append(clips["encounter"])
    tested = defaultdict(list)
    for repeat, _, train, test in folds:
        assert len(test)
        assert not set(train) & set(test)
        assert len(train) + len(test) == len(clips)
        assert set(clips["label"].iloc[train]) == set(clips["label"])
        for values in whole:
            assert not set(values.iloc[train]) & set(values.iloc[test])
        tested[repeat] += test.tolist()
    assert sorted(tested) == list(range(n_repeats))

    # Every clip is tested exactly once per repeat, but those without which a class would be gone.
    labels = clips["label"].to_numpy(dtype=object)
    never = set()
    for rows in components(clips, *whole):
        rest = [labels[row] for row in range(len(clips)) if row not in rows]
        if set(rest) != set(labels):
            never |= rows
    for rows in tested.values():
        assert sorted(rows) == sorted(set(range(len(clips))) - never)
    groups = group_values(clips, recordings, split.group_by).to_numpy(dtype=object)
    assert folds.not_testable == sorted({str(groups[row]) for row in never})
    assert not folds.validation.any()
    assert folds.n_straddling_moments == 0


@settings(max_examples=60, deadline=None)
@given(
    survey=surveys(),
    name=st.sampled_from([*GROUPED, *DEALT, "study"]),
    seed=st.integers(0, 2**31),
    data=st.data(),
)
def test_the_order_of_clips_does_not_matter(
    survey: tuple[pd.DataFrame, pd.DataFrame], name: str, seed: int, data: st.DataObject
) -> None:
    clips, recordings = survey
    split = Split(name, n_folds=3, n_repeats=2, seed=seed)
    folds = try_folds(clips, recordings, split)
    if folds is None:
        return
    order = data.draw(st.permutations(range(len(clips))))
    shuffled = clips.iloc[order].reset_index(drop=True)
    again = make_folds(shuffled, recordings.iloc[::-1].reset_index(drop=True), split)
    assert again.clip_ids.tolist() == folds.clip_ids[order].tolist()
    assert again.test_fold.tolist() == folds.test_fold[:, order].tolist()
    assert again.validation.tolist() == folds.validation[order].tolist()
    assert again.not_testable == folds.not_testable
    assert again.n_straddling_moments == folds.n_straddling_moments


def survey_of(
    n_encounters: int = 6, n_recordings: int = 4, n_channels: int = 2
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two classes of encounters, recordings of one moment over some channels; two sites a class."""
    return tables(
        [
            (label, f"{label}_AC_{e}", f"{label}{e}r{r}h{c}", f"{label}{e}m{r}", f"site{e % 3}")
            for label in ("Insular", "Pelagic")
            for e in range(n_encounters)
            for r in range(n_recordings)
            for c in range(n_channels)
        ]
    )


def test_leave_one_out_tests_each_group_once() -> None:
    clips, recordings = survey_of()
    folds = make_folds(clips, recordings, Split("leave-one-encounter-out", n_repeats=2))
    tested = [(repeat, set(clips["encounter"].iloc[test])) for repeat, _, _, test in folds]
    for repeat in (0, 1):
        groups = [group for r, several in tested if r == repeat for group in several]
        assert sorted(groups) == sorted(set(clips["encounter"]))
    assert all(len(several) == 1 for _, several in tested)


def test_a_class_of_one_group_is_named_as_not_testable() -> None:
    clips, recordings = survey_of()
    lonely = clips[~clips["encounter"].isin([f"Insular_AC_{k}" for k in range(1, 6)])]
    lonely = lonely.reset_index(drop=True)
    for name in ("encounter", "leave-one-encounter-out"):
        with pytest.raises(FoldError, match="can test Pelagic only"):
            make_folds(lonely, recordings, Split(name))
    third = lonely["encounter"].isin([f"Pelagic_AC_{k}" for k in range(3)])
    lonely["label"] = lonely["label"].mask(third, "Northwestern")
    for name in ("encounter", "leave-one-encounter-out"):
        folds = make_folds(lonely, recordings, Split(name))
        assert folds.not_testable == ["Insular_AC_0"]
        is_never = (folds.test_fold < 0).all(axis=0)
        assert set(lonely["encounter"][is_never]) == {"Insular_AC_0"}
    assert make_folds(lonely, recordings, Split("random")).not_testable == []


def test_nothing_to_test_is_an_error() -> None:
    clips, recordings = survey_of(n_encounters=1)
    for name in ("encounter", "leave-one-encounter-out", "day", "year"):
        with pytest.raises(FoldError, match="nothing to test"):
            make_folds(clips, recordings, Split(name))


def test_stratified_folds_have_every_class_in_proportion() -> None:
    clips, recordings = survey_of(n_encounters=5, n_recordings=10, n_channels=1)
    clips = clips[(clips["label"] == "Pelagic") | (clips["encounter"] == "Insular_AC_0")]
    clips = clips.reset_index(drop=True)
    for _, _, _, test in make_folds(clips, recordings, Split("stratified", n_repeats=3)):
        assert clips["label"].iloc[test].value_counts().to_dict() == {"Pelagic": 10, "Insular": 2}


def test_grouped_folds_spread_each_class() -> None:
    clips, recordings = survey_of(n_encounters=5)
    for _, _, _, test in make_folds(clips, recordings, Split("encounter", n_repeats=3)):
        assert clips["label"].iloc[test].value_counts().to_dict() == {"Pelagic": 8, "Insular": 8}


def test_one_seed_is_one_split_and_repeats_differ() -> None:
    clips, recordings = survey_of()
    for name in ("random", "stratified", "recording", "encounter", "study"):
        first = make_folds(clips, recordings, Split(name, n_repeats=3, seed=1)).test_fold
        again = make_folds(clips, recordings, Split(name, n_repeats=3, seed=1)).test_fold
        other = make_folds(clips, recordings, Split(name, n_repeats=3, seed=2)).test_fold
        assert first.tolist() == again.tolist()
        assert first.tolist() != other.tolist()
        if name != "study":
            assert len({tuple(row) for row in first}) == 3


def test_channel_files_of_other_lengths_stay_together() -> None:
    """Windows spread over 17.000 and 17.007 s begin at other instants; they are one stretch of sea."""
    rows = [
        ("A", "e", f"r{c}", f"clip at {k * (7 + c / 1000)}", "") for c in (0, 1) for k in range(3)
    ]
    rows += [("A", "e", f"a{k}", f"a{k}", "") for k in range(5)]
    rows += [("B", "f", f"b{k}", f"b{k}", "") for k in range(5)]
    clips, recordings = tables(rows)
    recordings.loc[recordings["recording_id"].isin(["r0", "r1"]), "moment_id"] = "one"
    for name in ("random", "stratified", "recording"):
        for _, _, _, test in make_folds(clips, recordings, Split(name, n_repeats=5)):
            tested = set(clips["recording_id"].iloc[test]) & {"r0", "r1"}
            assert tested in (set(), {"r0", "r1"})


# The study's split


def test_the_study_deals_clips_60_20_20_and_counts_torn_moments() -> None:
    clips, recordings = survey_of(n_encounters=10, n_recordings=5, n_channels=2)
    folds = make_folds(clips, recordings, Split("study", seed=STUDY_SEED))
    ((_, _, train, test),) = list(folds)
    assert (len(train), int(folds.validation.sum()), len(test)) == (120, 40, 40)
    assert not folds.validation[test].any()
    assert not folds.validation[train].any()
    moments = clips["moment_id"].to_numpy(dtype=object)
    rest = np.setdiff1d(np.arange(200), test)
    torn = {m for m in set(moments) if m in moments[test] and m in moments[rest]}
    assert folds.n_straddling_moments == len(torn) > 10
    one_channel = clips.drop_duplicates("moment_id").reset_index(drop=True)
    assert make_folds(one_channel, recordings, Split("study")).n_straddling_moments == 0


def test_the_study_still_needs_every_class_in_training() -> None:
    rows = [("Pelagic", "p", f"r{k}", f"m{k}", "") for k in range(30)]
    clips, recordings = tables([*rows, ("Insular", "i", "r30", "m30", "")])
    with pytest.raises(FoldError, match="That measures nothing"):
        make_folds(clips, recordings, Split("study", seed=0))
    with pytest.raises(FoldError, match=r"That measures nothing|no Insular left to train on"):
        make_folds(clips, recordings, Split("study", seed=4))


# Groups by a column


def test_groups_may_be_any_column_or_a_part_of_the_time() -> None:
    clips, recordings = survey_of()
    values = {c: group_values(clips, recordings, c) for c in ("site", "day", "year", "sample_rate")}
    assert set(values["site"]) == {"site0", "site1", "site2"}
    assert set(values["day"]) == {"2017-07-28"}
    assert set(values["year"]) == {"2017"}
    assert set(values["sample_rate"]) == {"500000"}
    assert group_values(clips, recordings, "recording").tolist() == clips["recording_id"].tolist()


def test_a_missing_value_is_the_encounters_own_group() -> None:
    clips, recordings = survey_of(n_recordings=1, n_channels=1)
    recordings.loc[:3, "metadata"] = '{"site": ""}'
    recordings.loc[4, "metadata"] = "{}"
    found = group_values(clips, recordings, "site")
    assert found[:5].tolist() == [f"encounter Insular_AC_{k}" for k in range(5)]
    assert found[5] == "site2"
    recordings["metadata"] = '{"site": ""}'
    with pytest.raises(FoldError, match="no recording has a site"):
        group_values(clips, recordings, "site")
    with pytest.raises(FoldError, match="no recording has a platform"):
        group_values(clips, recordings, "platform")


def test_an_unknown_column_is_an_error_that_lists_the_known() -> None:
    clips, recordings = survey_of()
    with pytest.raises(FoldError) as caught:
        make_folds(clips, recordings, Split("leave-one-sight-out"))
    for word in ("'sight'", "Did you mean 'site'", "encounter", "sample_rate"):
        assert word in str(caught.value)


def test_an_unknown_split_is_an_error_that_lists_the_splits() -> None:
    clips, recordings = survey_of()
    with pytest.raises(FoldError) as caught:
        make_folds(clips, recordings, Split("foo"))
    for word in ("'foo'", "encounter", "random", "study", "leave-one-COLUMN-out", "site"):
        assert word in str(caught.value)


def voyages(**columns: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Six encounters of two populations, a day each, with columns of metadata (a value each)."""
    names = [f"e{k}" for k in range(6)]
    clips = pd.DataFrame(
        {"clip_id": names, "recording_id": names, "moment_id": names, "encounter": names}
    ).assign(label=list("AAABBB"))
    recordings = clips[["recording_id", "moment_id", "encounter"]].assign(
        platform=pd.array([None] * 6, dtype="string"),
        sample_rate=[48_000, 96_000] * 3,
        start_utc=pd.date_range("2017-07-01", periods=6, tz="UTC"),
        metadata=[json.dumps({name: of[k] for name, of in columns.items()}) for k in range(6)],
    )
    return clips, recordings


def test_the_stricter_split_is_by_the_fewest_groups_that_leave_something_to_learn_from() -> None:
    columns = {"outing": list("112334"), "leg": list("122112"), "species": list("AAABBB")}
    clips, recordings = voyages(**columns)
    folds, not_testable = stricter_folds(clips, recordings, Split("encounter", n_repeats=3))
    assert folds is not None
    assert (folds.split.name, folds.split.n_repeats, len(set(folds.units))) == ("leg", 1, 2)
    assert not_testable == ["species"]
    without = recordings.assign(metadata='{"depth": "9"}')
    without["platform"] = ["Sette", "Lasker", "Lasker"] * 2
    folds, not_testable = stricter_folds(clips, without, Split("encounter"))
    assert folds is not None
    assert (folds.split.name, not_testable) == ("platform", ["depth"])
    without["start_utc"] = pd.Timestamp("2017-07-01", tz="UTC")
    without["platform"] = pd.array([None] * 6, dtype="string")
    assert stricter_folds(clips, without, Split("encounter")) == (None, ["day", "depth"])


def test_the_stricter_split_keeps_encounters_whole_and_takes_properties_of_encounters_alone() -> (
    None
):
    clips, recordings = voyages(outing=list("123456"), wind=list("121212"))
    assert stricter_folds(clips, recordings, Split("encounter"))[0].split.name == "wind"
    twice = [pd.concat([table, table.assign(clip_id="x", recording_id=table["recording_id"] + "b")])
             for table in (clips, recordings)]  # fmt: skip
    twice[0]["clip_id"] = twice[0]["recording_id"] = [f"{k}" for k in range(12)]
    twice[1]["recording_id"] = twice[0]["recording_id"].to_numpy()
    twice[0]["moment_id"] = twice[1]["moment_id"] = twice[0]["recording_id"].to_numpy()
    twice = [table.reset_index(drop=True) for table in twice]
    twice[1].loc[6:, "metadata"] = [json.dumps({"wind": w}) for w in "212121"]
    # The wind changes within encounters; the sample rate is a fact of the files.
    assert stricter_folds(*twice, Split("encounter")) == (None, [])


def test_unlabelled_clips_and_single_classes_are_refused() -> None:
    clips, recordings = survey_of()
    with pytest.raises(FoldError, match="without a label"):
        make_folds(clips.assign(label=pd.NA), recordings, Split())
    with pytest.raises(FoldError, match=r"1 class found \(Insular\)"):
        make_folds(clips[clips["label"] == "Insular"], recordings, Split())
    with pytest.raises(FoldError, match=r"0 classes found \(none\)"):
        make_folds(clips.iloc[:0], recordings, Split())


@pytest.mark.parametrize("options", [{"n_folds": 1}, {"n_folds": 0}, {"n_repeats": 0}])
def test_senseless_splits_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(FoldError):
        Split(**options)  # type: ignore[arg-type]


def test_mixed_encounters_that_leave_no_deal_say_so() -> None:
    rows = [
        (label, f"e{e}", f"e{e}{label}", f"m{e}{label}", "") for e in range(2) for label in "AB"
    ]
    clips, recordings = tables(rows)
    folds = make_folds(clips, recordings, Split("leave-one-encounter-out"))
    assert len(list(folds)) == 2


# Inner folds


@settings(max_examples=60, deadline=None)
@given(survey=surveys(), n_folds=st.integers(2, 6), seed=st.integers(0, 2**31))
def test_inner_folds_keep_groups_whole_and_classes_present(
    survey: tuple[pd.DataFrame, pd.DataFrame], n_folds: int, seed: int
) -> None:
    clips, _ = survey
    labels = clips["label"].to_numpy(dtype=object)
    groups = clips["encounter"].to_numpy(dtype=object)
    try:
        assigned = assign_folds(labels, groups, n_folds, np.random.default_rng(seed))
    except FoldError:
        return
    assert assigned.max() >= 0
    for fold in set(assigned[assigned >= 0]):
        assert set(labels[assigned != fold]) == set(labels)
        assert not set(groups[assigned == fold]) & set(groups[assigned != fold])


# Doctored folds


@pytest.mark.parametrize(
    "name", ["encounter", "recording", "random", "leave-one-site-out", "study"]
)
def test_verification_catches_doctored_folds(name: str) -> None:
    clips, recordings = survey_of()
    clips["site"] = group_values(clips, recordings, "site").tolist()
    good = make_folds(clips, recordings, Split(name, n_folds=3, seed=3))
    verify(good, clips)

    def doctored(**changes: object) -> Folds:
        return replace(good, **changes)  # type: ignore[arg-type]

    nobody = np.full_like(good.test_fold, -1)
    with pytest.raises(FoldError, match="nothing to test"):
        verify(doctored(test_fold=nobody), clips)
    with pytest.raises(FoldError, match="nothing to test"):
        verify(doctored(test_fold=np.vstack([good.test_fold, nobody])), clips)
    with pytest.raises(FoldError, match="for other clips"):
        verify(good, clips.iloc[::-1])
    with pytest.raises(FoldError, match="for other clips"):
        verify(good, clips.iloc[:-1])
    twice = clips.assign(clip_id="clip000")
    with pytest.raises(FoldError, match="stands in the table twice"):
        verify(doctored(clip_ids=twice["clip_id"].to_numpy(dtype=object)), twice)
    all_of_a_class = np.where(good.labels == "Insular", 0, good.test_fold)
    with pytest.raises(FoldError, match=r"That measures nothing|no Insular left to train on"):
        verify(doctored(test_fold=all_of_a_class), clips)
    tested = np.flatnonzero(good.test_fold[0] >= 0)
    with pytest.raises(FoldError, match="kept for validation is tested"):
        verify(doctored(validation=np.isin(np.arange(len(clips)), tested[:1])), clips)
    if name != "study":
        torn = good.test_fold.copy()
        row = tested[0]
        torn[0, row] = (torn[0, row] + 1) % 3
        with pytest.raises(FoldError, match="stands on both sides"):
            verify(doctored(test_fold=torn), clips)


@pytest.mark.parametrize(
    ("name", "tie"), [("random", "moment"), ("recording", "moment"), ("site", "encounter")]
)
def test_verification_sees_what_groups_alone_do_not_show(name: str, tie: str) -> None:
    clips, recordings = survey_of()
    good = make_folds(clips, recordings, Split(name, n_folds=3))
    with pytest.raises(FoldError, match=f"{tie} .* stands on both sides"):
        verify(
            replace(
                good,
                groups=good.clip_ids,
                test_fold=np.arange(len(clips))[None] // (2 if tie == "encounter" else 1) % 3,
            ),
            clips,
        )


# Real recordings


def test_real_encounters_stay_whole(scanned_watkins: Manifest) -> None:
    found = scanned_watkins
    clips = cut(found.recordings, ClipOptions(max_per_recording=10))[0]
    clips = clips[clips["label"].notna()].reset_index(drop=True)
    folds = make_folds(clips, found.recordings, Split("encounter", n_folds=3, n_repeats=5))
    assert folds.not_testable == []
    assert (folds.test_fold >= 0).all()
    for _, _, train, test in folds:
        assert not set(clips["encounter"][train]) & set(clips["encounter"][test])
        assert clips["label"][train].nunique() == clips["label"][test].nunique() == 6
