"""Laws of a simulated survey: layout, determinism, dials, and truth that matches the sound."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from pseudorca.errors import SimulationError
from pseudorca.simulation import SurveyConfig, simulate_survey
from pseudorca.simulation.plan import plan_survey
from pseudorca.simulation.truth import SIGNAL_COLUMNS, true_populations

SMALL = SurveyConfig(
    n_encounters=6,
    n_clips=18,
    insular_encounters=0.34,
    insular_clips=0.34,
    n_unknown_encounters=1,
    n_unknown_clips=2,
    sample_rate=24_000,
    max_clip_s=1.2,
    n_long=1,
    long_s=4.0,
)
WORLD = ["wind_m_s", "gain_db", "range_m", "colour_db_3", "n_tones"]


def _hashes(out: Path) -> dict[str, str]:
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("survey") / "out"
    simulate_survey(out, SMALL)
    return out


def _table(out: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(out / "truth" / f"{name}.csv")


def test_survey_lays_its_files_out_as_hiceas_does(survey: Path) -> None:
    clips = _table(survey, "clips")
    paths = {p.relative_to(survey).as_posix() for p in survey.rglob("*.wav")}
    assert paths == set(clips["path"])
    long = clips["duration_s"] == 4.0
    pattern = r"recordings/(Insular|Pelagic|Unknown)/(Sette|Lasker)_AC_\d+/"
    for path in clips["path"][~long]:
        assert re.fullmatch(pattern + r"\d{8}_\d{6}_ch0[1-6]_sel\d\d\.wav", path)
    for path in clips["path"][long]:
        assert re.fullmatch(pattern + r"\d{8}_\d{6}_\d{3}\.wav", path)
    assert set(clips["population"][clips["label"] == "Unknown"]) <= {"Insular", "Pelagic"}
    labelled = clips[clips["label"] != "Unknown"]
    assert (labelled["label"] == labelled["population"]).all()
    assert labelled["label"].value_counts().to_dict() == {"Pelagic": 12, "Insular": 6}
    assert (clips["label"] == "Unknown").sum() == 3


def test_survey_keeps_truth_out_of_recordings(survey: Path) -> None:
    assert {p.suffix for p in (survey / "recordings").rglob("*") if p.is_file()} == {".wav"}
    assert not list((survey / "truth").rglob("*.wav"))
    assert json.loads((survey / "truth" / "survey.json").read_text())["complete"] is True


def test_survey_encounters_have_days_of_their_own_and_clips_two_hours(survey: Path) -> None:
    clips = _table(survey, "clips")
    start = pd.to_datetime(clips["start_utc"])
    named = clips["path"].str.extract(r"/(\d{8}_\d{6})_")[0]
    assert (pd.to_datetime(named, format="%Y%m%d_%H%M%S") == start).all()
    spans = start.groupby(clips["encounter"]).agg(lambda s: s.max() - s.min())
    assert spans.max() <= pd.Timedelta(hours=2)
    days = start.dt.date.groupby(clips["encounter"]).unique()
    assert all(len(one) == 1 for one in days)
    assert len({one[0] for one in days}) == len(days)


def test_survey_truth_agrees_with_the_files(survey: Path) -> None:
    clips, signals = _table(survey, "clips"), _table(survey, "signals")
    for row in clips.itertuples():
        info = sf.info(survey / row.path)
        assert info.samplerate == row.sample_rate
        assert info.frames / info.samplerate == pytest.approx(row.duration_s)
        assert info.channels == len(str(row.channels).split())
        assert info.subtype == f"PCM_{row.bits}"
    length = signals["path"].map(clips.set_index("path")["duration_s"])
    assert (signals["start_s"] >= 0.0).all()
    assert (signals["end_s"] <= length + 1e-4).all()
    assert tuple(signals.columns) == SIGNAL_COLUMNS
    whistled = signals.loc[signals["kind"] == "whistle", "path"]
    assert set(whistled) == set(clips["path"])
    contours = pd.read_parquet(survey / "truth" / "contours.parquet")
    ends = contours.groupby(["path", "signal", "channel"])["frequency_hz"].agg(["first", "last"])
    tonal = signals.set_index(["path", "signal", "channel"]).loc[ends.index]
    assert np.allclose(ends["first"], tonal["start_hz"], rtol=1e-6)
    assert np.allclose(ends["last"], tonal["end_hz"], rtol=1e-6)


def test_survey_clips_of_one_moment_are_the_same_moment_on_other_channels(survey: Path) -> None:
    clips, signals = _table(survey, "clips"), _table(survey, "signals")
    moments = clips[clips["duration_s"] < 4.0].groupby(["encounter", "moment"])
    shared = [group for _, group in moments if len(group) > 1]
    assert shared
    for group in shared:
        first, second = group["path"].iloc[:2]
        assert re.sub(r"_ch\d\d", "", first) == re.sub(r"_ch\d\d", "", second)
        a, b = (signals[signals["path"] == path].reset_index() for path in (first, second))
        assert (a["duration_s"] == b["duration_s"]).all()
        assert np.abs(a["start_s"] - b["start_s"]).max() < 0.01
        x, y = (sf.read(survey / path)[0] for path in (first, second))
        assert len(x) == len(y)
        assert not np.array_equal(x, y)


def test_survey_raven_table_is_as_raven_wants_it(survey: Path) -> None:
    (path,) = (survey / "truth" / "raven").rglob("*.selections.txt")
    table = pd.read_csv(path, sep="\t")
    assert list(table.columns[:10]) == [
        "Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)",
        "High Freq (Hz)", "Begin File", "Begin Path", "File Offset (s)",
    ]  # fmt: skip
    assert table["Selection"].tolist() == list(range(1, len(table) + 1))
    assert table["Channel"].min() == 1
    assert (table["Begin Time (s)"] < table["End Time (s)"]).all()
    assert table["High Freq (Hz)"].max() <= SMALL.sample_rate / 2
    assert (survey / table["Begin Path"][0]).name == table["Begin File"][0]


def test_survey_is_the_same_byte_for_byte_whatever_the_workers(
    survey: Path, tmp_path: Path
) -> None:
    done: list[tuple[int, int]] = []
    simulate_survey(
        tmp_path / "b", SMALL, n_workers=2, progress=lambda n, total: done.append((n, total))
    )
    assert _hashes(tmp_path / "b") == _hashes(survey)
    assert done[-1] == (21, 21)


def test_survey_of_another_seed_is_another(survey: Path, tmp_path: Path) -> None:
    simulate_survey(tmp_path / "c", replace(SMALL, seed=1))
    sounds = {h for name, h in _hashes(survey).items() if name.endswith(".wav")}
    others = {h for name, h in _hashes(tmp_path / "c").items() if name.endswith(".wav")}
    assert not sounds & others


def test_survey_clips_do_not_change_when_more_are_made(survey: Path, tmp_path: Path) -> None:
    simulate_survey(tmp_path / "d", replace(SMALL, n_clips=9))
    few, many = (
        {h for name, h in _hashes(out).items() if name.endswith(".wav")}
        for out in (tmp_path / "d", survey)
    )
    assert len(few) == 12
    assert few < many


def test_survey_goes_on_in_its_own_folder_and_in_no_other(survey: Path, tmp_path: Path) -> None:
    before = _hashes(survey)
    victim = next(survey.rglob("*.wav"))
    victim.write_bytes(b"half a file")
    simulate_survey(survey, SMALL)
    assert _hashes(survey) == before
    with pytest.raises(SimulationError, match="not empty"):
        simulate_survey(survey, replace(SMALL, seed=5))
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(SimulationError, match="not empty"):
        simulate_survey(tmp_path, SMALL)
    with pytest.raises(SimulationError, match="is a file"):
        simulate_survey(tmp_path / "thesis.txt", SMALL)


DIALS = replace(SMALL, n_clips=24, n_unknown_encounters=0, n_unknown_clips=0, n_long=0)


def test_survey_signature_rules_how_alike_the_clips_of_an_encounter_are(tmp_path: Path) -> None:
    spread = {}
    for signature in (0.0, 1.0):
        out = tmp_path / str(signature)
        simulate_survey(out, replace(DIALS, encounter_signature=signature, max_channels=1))
        clips = _table(out, "clips")
        spread[signature] = clips.groupby("encounter")[WORLD[:-1]].std().dropna()
        if signature == 1.0:
            encounters = _table(out, "encounters").set_index("encounter")
            for name in WORLD:
                assert (clips[name] == clips["encounter"].map(encounters[name])).all()
    assert np.allclose(spread[1.0], 0.0)
    assert (spread[0.0] > 0.0).all(axis=None)


def test_survey_confound_ties_the_recorder_to_the_population() -> None:
    many = replace(SMALL, n_encounters=200, n_clips=400, insular_encounters=0.5)
    tied = [e for e in plan_survey(replace(many, confound=1.0)) if e.label != "Unknown"]
    assert {(e.population, e.recorder, e.platform) for e in tied} == {
        ("Insular", "array_500k", "Sette"),
        ("Pelagic", "array_192k", "Lasker"),
    }
    free = [e for e in plan_survey(replace(many, confound=0.0)) if e.label != "Unknown"]
    for population in ("Insular", "Pelagic"):
        share = np.mean([e.recorder == "array_500k" for e in free if e.population == population])
        assert 0.35 < share < 0.65
    assert not any(e.own_recorder for e in free)


def test_survey_plan_does_not_depend_on_the_effect() -> None:
    assert plan_survey(replace(SMALL, effect=0.0)) == plan_survey(replace(SMALL, effect=3.0))


def test_survey_with_a_third_population_and_another_species() -> None:
    config = replace(
        SMALL, n_encounters=20, n_clips=100, northwestern=0.2, n_unknown_encounters=10,
        n_unknown_clips=20, unknown_other=0.5,
    )  # fmt: skip
    encounters = plan_survey(config)
    labels = [e.label for e in encounters]
    assert labels.count("Northwestern") == 4
    assert sum(e.n_clips for e in encounters if e.label == "Northwestern") == 20
    assert "Other" in {e.population for e in encounters if e.label == "Unknown"}
    assert "Other" not in labels
    assert len({e.name for e in encounters}) == len(encounters)


def test_survey_at_the_recorders_own_rates_with_real_noise(tmp_path: Path) -> None:
    hum = np.sin(np.arange(8000) * (2 * np.pi * 1000.0 / 8000.0)) * 0.1
    sf.write(tmp_path / "ship.wav", hum, 8000)
    config = replace(
        DIALS, n_clips=6, sample_rate=None, confound=1.0, noise_files=(tmp_path / "ship.wav",),
        noise_share=1.0,
    )  # fmt: skip
    summary = simulate_survey(tmp_path / "out", config)
    clips = _table(tmp_path / "out", "clips")
    assert set(clips["sample_rate"]) == {500_000, 192_000}
    assert set(clips["noise_file"]) == {str(tmp_path / "ship.wav")}
    assert summary.n_files == 6
    assert summary.files_per_class == clips["label"].value_counts().to_dict()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"insular_clips": 13.0}, "percent"),
        ({"confound": -0.1}, "confound"),
        ({"effect": -1.0}, "effect"),
        ({"n_encounters": 0}, "at least 1"),
        ({"n_clips": 3}, "cannot fill"),
        ({"n_unknown_clips": 0}, "cannot fill"),
        ({"max_channels": 9}, "1 to 6"),
        ({"min_clip_s": 900.0, "max_clip_s": 3000.0}, "milliseconds"),
        ({"sample_rate": 96}, "kHz"),
        ({"recorders": ("array",)}, "unknown recorder"),
        ({"recorders": ()}, "recorders is empty"),
        ({"platforms": ("Oscar Sette",)}, "letters and digits"),
        ({"northwestern": 0.9}, "more than 1"),
        ({"n_long": 1, "long_s": 3000.0}, "samples"),
        ({"long_s": 0.0}, "long_s"),
    ],
)
def test_survey_config_of_bad_settings_says_what_is_wrong(
    settings: dict[str, object], words: str
) -> None:
    with pytest.raises(SimulationError, match=words):
        SurveyConfig(**settings)


def test_survey_that_cannot_be_planned_says_why(tmp_path: Path) -> None:
    with pytest.raises(SimulationError, match="two hours"):
        plan_survey(replace(SMALL, n_clips=20_000))
    with pytest.raises(SimulationError, match="cannot be split"):
        plan_survey(replace(SMALL, insular_clips=1.0))
    with pytest.raises(SimulationError, match="cannot be read"):
        simulate_survey(tmp_path / "x", replace(SMALL, noise_files=(tmp_path / "no.wav",)))
    with pytest.raises(SimulationError, match="n_workers"):
        simulate_survey(tmp_path / "x", SMALL, n_workers=0)
    assert not (tmp_path / "x").exists()


def test_survey_truth_is_found_beside_its_recordings_and_nowhere_else(
    survey: Path, tmp_path: Path
) -> None:
    truth = true_populations(survey / "recordings")
    assert truth is not None
    encounters = _table(survey, "encounters")
    assert truth == encounters.set_index("encounter")["population"].to_dict()
    for folder in (survey, survey / "recordings" / "Insular", tmp_path / "recordings"):
        assert true_populations(folder) is None
