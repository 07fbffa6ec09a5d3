"""Laws of altered copies: what may change, by how much, and whose sea may be heard in them."""

import numpy as np
import pandas as pd
import pytest

from pseudorca.embedding.augmentation.alterations import (
    OtherBackground,
    ViewFrontEnd,
    ViewOptions,
    plan_views,
)
from pseudorca.errors import FrontEndError
from pseudorca.frontends.common import CommonFrontEnd

RATE = 32_000
NOTHING = ViewOptions(gain_db=0, shift=False, background_db=None, bandlimit=False, slope_db=0)


def tone(frequency_hz=4_000.0, duration_s=1.0, rate=RATE):
    time = np.arange(round(duration_s * rate)) / rate
    return (0.1 * np.sin(2 * np.pi * frequency_hz * time)).astype(np.float32)


def noise(seed=0, level=0.02, duration_s=1.0):
    rng = np.random.default_rng(seed)
    return (level * rng.standard_normal(round(duration_s * RATE))).astype(np.float32)


def altered(sound, options, view=1, **more):
    return ViewFrontEnd(CommonFrontEnd(), options, view, **more).altered(sound, sample_rate=RATE)


def level_db(sound):
    return 20 * np.log10(np.sqrt(np.mean(sound.astype(np.float64) ** 2)))


def survey(n_encounters=6, n_clips=4, platforms=("Sette", "Lasker"), duration_s=30.0):
    rows, heard = [], []
    for e in range(n_encounters):
        heard.append((f"r{e}", duration_s, platforms[e % len(platforms)] if platforms else None))
        for k in range(n_clips):
            rows.append((f"c{e}.{k}", f"r{e}", f"E{e}", 3.0 * k, 3.0 * k + 3.0, 0.0))
    clips = pd.DataFrame(
        rows, columns=["clip_id", "recording_id", "encounter", "start_s", "end_s", "padded_s"]
    )
    recordings = pd.DataFrame(heard, columns=["recording_id", "duration_s", "platform"])
    seas = {f"E{e}": [f"c{e}.{k}" for k in range(n_clips)] for e in range(n_encounters)}
    return clips, recordings, seas


def test_a_view_in_which_nothing_may_change_is_the_clip():
    sound, rate = altered(tone(), NOTHING)
    assert rate == RATE
    np.testing.assert_array_equal(sound, tone())


def test_views_are_the_same_every_time_and_differ_from_each_other():
    options = ViewOptions(rates=(16_000, RATE))
    backgrounds = (OtherBackground(noise(1), RATE),)
    first, _ = altered(noise(), options, backgrounds=backgrounds)
    again, _ = altered(noise(), options, backgrounds=backgrounds)
    np.testing.assert_array_equal(first, again)
    levels = {
        level_db(altered(noise(), options, view, backgrounds=backgrounds)[0])
        for view in range(1, 6)
    }
    assert len(levels) == 5


def test_gain_stays_within_its_bounds():
    options = ViewOptions(gain_db=6, shift=False, background_db=None, bandlimit=False, slope_db=0)
    gains = [level_db(altered(tone(), options, view)[0]) - level_db(tone()) for view in range(20)]
    assert max(np.abs(gains)) <= 6.01
    assert max(gains) > 2
    assert min(gains) < -2


def test_slope_tilts_about_4_khz():
    options = ViewOptions(gain_db=0, shift=False, background_db=None, bandlimit=False, slope_db=3)
    mixed = tone(2_000) + tone(4_000) + tone(8_000)
    for view in range(5):
        spectrum = np.abs(np.fft.rfft(altered(mixed, options, view)[0]))
        low, middle, high = 20 * np.log10(spectrum[[2_000, 4_000, 8_000]] / (0.05 * RATE))
        assert abs(middle) < 0.1
        assert low == pytest.approx(-high, abs=0.1)
        assert 0 < abs(high) <= 3.1


def test_bandlimit_takes_a_lower_rate_of_the_collection_or_none():
    options = ViewOptions(
        gain_db=0, shift=False, background_db=None, slope_db=0, rates=(16_000, 20_000, 96_000)
    )
    found = {altered(noise(seed), options)[1] for seed in range(30)}
    assert found == {16_000, 20_000, RATE}
    sound, rate = next(
        one for one in (altered(noise(seed), options) for seed in range(30)) if one[1] == 16_000
    )
    assert len(sound) == pytest.approx(rate, abs=2)


def test_the_other_sea_lies_as_far_below_the_clip_as_was_asked():
    options = ViewOptions(gain_db=0, shift=False, bandlimit=False, slope_db=0, background_db=6)
    other = OtherBackground(noise(7, level=0.5, duration_s=5.0), RATE)
    below = []
    for view in range(20):
        sound, _ = altered(noise(), options, view, backgrounds=(other,))
        below.append(level_db(noise()) - level_db(sound - noise()))
    assert min(below) > 5.8
    assert max(below) < 26.2
    assert np.ptp(below) > 8


def test_a_rolled_clip_has_the_same_samples():
    options = ViewOptions(gain_db=0, background_db=None, bandlimit=False, slope_db=0)
    sound, _ = altered(noise(), options, is_rolled=True)
    np.testing.assert_array_equal(np.sort(sound), np.sort(noise()))
    assert (sound != noise()).any()


def test_all_clips_of_an_encounter_hear_one_other_on_another_platform():
    clips, recordings, seas = survey()
    platform = dict(zip(recordings["recording_id"], recordings["platform"], strict=True))
    for view in (1, 2, 3):
        plan = plan_views(clips, recordings, ViewOptions(), view, seas)
        for encounter, some in plan.groupby("encounter"):
            (donor,) = set(some["donor"])
            assert donor != encounter
            assert platform[f"r{donor[1:]}"] != platform[f"r{encounter[1:]}"]
            assert all(
                one.startswith(f"c{donor[1:]}.")
                for one in some["background_clips"].iloc[0].split(",")
            )


def test_without_platforms_any_other_encounter_may_be_heard_and_without_others_none():
    clips, recordings, seas = survey(platforms=())
    plan = plan_views(clips, recordings, ViewOptions(), 1, seas)
    assert (plan["donor"] != plan["encounter"]).all()
    assert (plan["donor"] != "").all()
    alone = plan_views(clips, recordings, ViewOptions(), 1, {"E0": seas["E0"]})
    assert set(alone.loc[alone["encounter"] == "E0", "donor"]) == {""}
    assert set(plan_views(clips, recordings, ViewOptions().alone(), 1, seas)["donor"]) == {""}


def test_a_shifted_clip_shares_half_with_the_clip_and_stays_in_its_recording():
    clips, recordings, seas = survey(duration_s=12.0)
    for view in range(1, 10):
        plan = plan_views(clips, recordings, ViewOptions(), view, seas)
        moved = plan["start_s"] - clips["start_s"]
        assert moved.abs().max() <= 1.5 + 1e-9
        assert plan["start_s"].min() >= 0
        assert plan["end_s"].max() <= 12.0 + 1e-9
        assert not plan["is_rolled"].any()
        np.testing.assert_allclose(plan["end_s"] - plan["start_s"], 3.0)


def test_clips_without_room_are_rolled_where_they_are():
    clips, recordings, _ = survey(n_clips=1, duration_s=3.0)
    clips["padded_s"] = [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    plan = plan_views(clips, recordings, ViewOptions(), 1)
    assert plan["is_rolled"].all()
    assert (plan["start_s"] == clips["start_s"]).all()
    still = plan_views(clips, recordings, NOTHING, 1)
    assert not still["is_rolled"].any()


def test_a_views_id_tells_whose_sea_it_has_and_where_it_was_cut():
    clips, recordings, seas = survey()
    ids = [
        set(plan_views(clips, recordings, options, 1, heard)["clip_id"])
        for options, heard in (
            (ViewOptions(), seas), (ViewOptions().alone(), seas), (ViewOptions(seed=1), seas),
            (ViewOptions(), {name: of[2:] for name, of in seas.items()}),
        )
    ]  # fmt: skip
    assert all(len(one) == len(clips) for one in ids)
    assert len(set.union(*ids)) > 3 * len(clips)
    again = plan_views(clips, recordings, ViewOptions(), 1, seas)["clip_id"]
    assert set(again) == ids[0]


def test_a_views_id_tells_in_which_band_its_sea_was_found():
    clips, recordings, seas = survey()
    bands = [CommonFrontEnd.in_band(band) for band in ("16k", "48k")]
    found = [plan_views(clips, recordings, ViewOptions(), 1, seas, band) for band in bands]
    assert not set(found[0]["clip_id"]) & set(found[1]["clip_id"])
    alone = [plan_views(clips, recordings, ViewOptions(), 1, None, band) for band in bands]
    assert set(alone[0]["clip_id"]) == set(alone[1]["clip_id"])


def test_settings_of_a_view_hold_all_that_shapes_it():
    front_end = CommonFrontEnd()
    one = ViewFrontEnd(front_end, ViewOptions(), 1).settings()
    assert one["view"]["number"] == 1
    assert {key: one[key] for key in front_end.settings()} == front_end.settings()
    for other in (ViewFrontEnd(front_end, ViewOptions(), 2),
                  ViewFrontEnd(front_end, ViewOptions(gain_db=1), 1)):  # fmt: skip
        assert other.settings() != one


@pytest.mark.parametrize(
    "given", [{"loudness": 3}, {"gain_db": -1}, {"gain_db": "six"}, {"shift": 1}]
)
def test_unknown_or_senseless_settings_are_errors(given):
    with pytest.raises(FrontEndError, match="augmentation"):
        ViewOptions.of(given, [RATE])
