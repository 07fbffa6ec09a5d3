"""Controls without animals: facts of files, what is filled in, association."""

import json

import numpy as np
import pandas as pd
import pytest

from pseudorca.audit.controls import (
    FACTS,
    SHOWN_FACTS,
    answerable,
    associations,
    band_levels,
    cramers_v,
    fact_features,
    filled_in,
    recorder_signature,
)


def tables(n: int = 6, **columns):
    """Recordings with one clip each; columns replace what is the same in all."""
    recordings = pd.DataFrame(
        {
            "recording_id": [f"r{k}" for k in range(n)],
            "sample_rate": 96_000,
            "n_channels": 1,
            "format": "WAV/PCM_16",
            "platform": pd.array([pd.NA] * n, dtype="string"),
            "start_utc": pd.Series([pd.NaT] * n, dtype="datetime64[us, UTC]"),
            "duration_s": 2.0,
            "peak": 0.5,
            "metadata": "{}",
        }
    ).assign(**columns)
    clips = pd.DataFrame(
        {
            "recording_id": recordings["recording_id"],
            "label": ["Insular", "Pelagic"] * (n // 2),
            "encounter": [f"e{k}" for k in range(n)],
        }
    )
    return clips, recordings


def test_fact_features_leaves_out_what_is_the_same_in_all():
    assert fact_features(*tables()) == {}


def test_fact_features_has_one_entry_per_fact_that_varies():
    start = pd.date_range("2017-07-01", periods=6, freq="3h", tz="UTC")
    found = fact_features(
        *tables(
            sample_rate=[96_000, 48_000] * 3, n_channels=[1, 2] * 3, peak=[0.1, 0.2] * 3,
            format=["WAV/PCM_16", "WAV/PCM_24"] * 3, platform=["Sette", None] * 3,
            duration_s=[1.0, 2.0] * 3, start_utc=start,
        )
    )  # fmt: skip
    assert set(found) == {*FACTS, *SHOWN_FACTS}
    assert all(len(x) == 6 and np.isfinite(x).all() for x in found.values())


def test_fact_features_where_some_have_no_time_are_finite():
    start = pd.Series(pd.date_range("2017-07-01", periods=6, freq="9D", tz="UTC"))
    start[2] = pd.NaT
    assert np.isfinite(fact_features(*tables(start_utc=start))["date"]).all()


def test_facts_of_the_sound_itself_do_not_vote():
    assert not set(FACTS) & set(SHOWN_FACTS)
    assert set(SHOWN_FACTS) == {"duration", "level"}


def test_filled_in_takes_the_encounters_mean_then_the_mean_of_all():
    features = np.array([[1.0], [3.0], [np.nan], [8.0], [np.nan]], dtype=np.float32)
    encounters = np.array(["a", "a", "a", "b", "c"], dtype=object)
    np.testing.assert_allclose(filled_in(features, encounters)[:, 0], [1, 3, 2, 8, 4])


def test_filled_in_nothing_known_says_nothing():
    filled = filled_in(np.full((2, 3), np.nan, np.float32), np.array(["a", "b"], object))
    assert (filled == 0).all()


def test_band_levels_beyond_reach_are_the_lowest_of_the_clip():
    nan = np.nan
    filled = band_levels(np.array([[-60, -70, nan], [nan, nan, nan]], dtype=np.float32))
    np.testing.assert_array_equal(filled, [[-60, -70, -70], [nan, nan, nan]])


def test_cramers_v_is_one_where_the_one_gives_the_other_away():
    assert cramers_v(np.diag([8, 8])) == pytest.approx(1.0)
    assert cramers_v(np.diag([20, 10, 5])) == pytest.approx(1.0)


def test_cramers_v_is_zero_without_association_and_none_without_choice():
    assert cramers_v(np.full((2, 3), 10)) == 0.0
    assert cramers_v(np.array([[4, 5]])) is None
    assert cramers_v(np.array([[4, 5], [0, 0]])) is None


def test_cramers_v_correction_takes_away_what_chance_gives():
    rng = np.random.default_rng(0)
    found = [
        cramers_v(np.array([np.bincount(rng.integers(8, size=12), minlength=8) for _ in range(2)]))
        for _ in range(200)
    ]
    assert np.mean(found) < 0.25  # uncorrected: above 0.5


def test_associations_count_encounters_not_clips():
    clips, recordings = tables(platform=["Sette", "Lasker"] * 3)
    many = pd.concat([clips] * 5, ignore_index=True)
    platform = associations(many, recordings)[0]
    assert platform["name"] == "platform"
    assert platform["encounters"] == {"Lasker": [0, 3], "Sette": [3, 0]}
    assert platform["cramers_v"] == pytest.approx(1.0)
    assert platform["n_shared"] == 0


def test_associations_take_columns_of_the_metadata_without_what_is_empty():
    entries = [json.dumps({"site": site}) for site in ("A", "A", "B", "B", None, "")]
    of_site = {row["name"]: row for row in associations(*tables(metadata=entries))}["site"]
    assert np.sum(list(of_site["encounters"].values())) == 4


def test_answerable_not_where_no_platform_met_two_labels():
    yes, why = answerable(associations(*tables(platform=["Sette", "Lasker"] * 3)))
    assert not yes
    assert "met one label only" in why
    yes, why = answerable(associations(*tables(platform=["Sette"] * 3 + ["Lasker"] * 3)))
    assert yes
    assert "2 of 2 platforms" in why


def test_recorder_signature_names_rate_channels_and_samples():
    _, recordings = tables(2, sample_rate=[500_000, 44_100])
    assert list(recorder_signature(recordings)) == [
        "500 kHz, 1 ch, PCM_16",
        "44.1 kHz, 1 ch, PCM_16",
    ]
