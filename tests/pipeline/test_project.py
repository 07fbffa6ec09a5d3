"""The front door: what every method of Project promises, whatever its verb does."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from typer.testing import CliRunner

import pseudorca
from pseudorca import Project, access, cli, progress
from pseudorca.compare.compare import CompareOptions
from pseudorca.errors import FoldError, ManifestError, PseudorcaError, StoreError
from pseudorca.events.events import EventOptions
from pseudorca.events.table import FILTERS, EventColumns
from pseudorca.formats.rocca import measure_contour_tables
from pseudorca.learning.classifier import Classifier
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.recipe import Recipe
from pseudorca.project import new_project
from pseudorca.recordings.folds import Split
from pseudorca.results import MOST_ROWS, Result
from pseudorca.store import Store
from pseudorca.study.reproduce import reproduce
from pseudorca.study.settings import StudyOptions

RECIPE = Recipe(LogisticHead(c=0.01))


@pytest.fixture
def whales(trained: Store) -> Project:
    """A project with a classifier."""
    return Project.open(trained.folder)


@pytest.fixture
def predicted(whales: Project) -> Any:
    return whales.predict(progress=False)


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file below a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in files
    }


def bytes_of(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


# What is imported


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("pseudorca.Project", {"torch", "pandas", "lancedb", "pyarrow", "sklearn", "matplotlib"}),
        ("pseudorca.Project.create('p', DATA, progress=False)", {"torch", "sklearn"}),
        ("pseudorca.Project.create('p', DATA).clips()", {"torch", "sklearn"}),
        ("pseudorca.Project.create('p', DATA).folds(n_folds=2)", {"torch", "sklearn"}),
    ],
)
def test_a_method_imports_no_more_than_its_stage(
    code: str, heavy: set[str], survey: Path, tmp_path: Path
) -> None:
    script = (
        f"import sys, pseudorca\nDATA = {str(survey)!r}\n{code}\n"
        f"found = {heavy!r} & set(sys.modules)\nassert not found, found"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)


# One writer at a time


HOLD = (
    "import sys\nfrom pseudorca import Project\n"
    "with Project.open(sys.argv[1]).locked():\n"
    "    print('held', flush=True)\n    sys.stdin.readline()\n"
)


def test_another_process_is_waited_for_with_one_line(
    scanned: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    whales = Project.open(scanned.folder)
    command = [sys.executable, "-c", HOLD, str(scanned.folder)]
    done = threading.Event()
    thread = threading.Thread(target=lambda: (whales.clips(), done.set()))
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        thread.start()
        assert not done.wait(0.5)
        holder.stdin.write("\n")
        holder.stdin.flush()
        assert done.wait(20)
        thread.join()
    (line,) = capsys.readouterr().err.splitlines()
    assert str(scanned.folder) in line


def test_readers_do_not_wait_for_a_writer(scanned: Store) -> None:
    whales = Project.open(scanned.folder)
    found: list[Result] = []
    with whales.locked():
        thread = threading.Thread(target=lambda: found.append(whales.folds(n_folds=2)))
        thread.start()
        thread.join(20)
        assert len(found) == 1


def test_two_threads_write_one_after_the_other(scanned: Store) -> None:
    whales, order = Project.open(scanned.folder), []

    def hold(name: str) -> None:
        with whales.locked():
            order.append(name)
            time.sleep(0.1)
            order.append(name)

    threads = [threading.Thread(target=hold, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert order in (["a", "a", "b", "b"], ["b", "b", "a", "a"])


def test_settings_of_two_threads_are_all_kept(scanned: Store) -> None:
    whales = Project.open(scanned.folder)

    def keep(name: str) -> None:
        for number in range(10):
            with whales.locked():
                whales.store.keep_setting(f"{name}{number}", number)

    threads = [threading.Thread(target=keep, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in "abc":
        assert [whales.store.setting(f"{name}{number}") for number in range(10)] == [*range(10)]


def test_a_writer_may_write_inside_a_lock_of_its_own(scanned: Store) -> None:
    whales = Project.open(scanned.folder)
    with whales.locked(), whales.locked():
        assert len(whales.clips().clips) > 0


def test_a_failed_writer_lets_go_of_the_lock(scanned: Store) -> None:
    whales = Project.open(scanned.folder)
    with pytest.raises(ManifestError):
        whales.scan(scanned.folder / "nowhere", progress=False)
    code = "import sys\nfrom pseudorca import Project\nProject.open(sys.argv[1]).clips()"
    subprocess.run([sys.executable, "-c", code, str(scanned.folder)], check=True, timeout=60)


# A project that cannot be written to


@pytest.fixture
def read_only(whales: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project on a disk that takes nothing; who is root may write everywhere, so it is only said."""
    folder = whales.folder
    monkeypatch.setattr(access, "is_read_only", lambda path: Path(path) == folder)
    return Project.open(folder)


def test_a_read_only_project_is_read_and_nothing_in_it_changes(
    read_only: Project, tmp_path: Path
) -> None:
    before = contents(read_only.folder)
    assert read_only.is_read_only
    assert read_only.folds(n_folds=2).n_groups == 8
    report = read_only.report(tmp_path / "report.html", progress=False)
    assert report.output.stat().st_size == report.n_bytes
    said = read_only.predict(out=tmp_path / "said", progress=False)
    assert len(said.encounters) == 4
    assert contents(read_only.folder) == before


def test_predictions_of_a_read_only_project_are_those_of_one_that_can_be_written(
    read_only: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = read_only.predict(out=tmp_path / "a", progress=False)
    monkeypatch.setattr(access, "is_read_only", lambda path: False)
    expected = read_only.predict(out=tmp_path / "b", progress=False)
    assert said.as_json() | {"output": ""} == expected.as_json() | {"output": ""}
    pd.testing.assert_frame_equal(said.clips, expected.clips)


def test_a_second_prediction_of_a_read_only_project_goes_on_from_the_first(
    read_only: Project, tmp_path: Path
) -> None:
    out = tmp_path / "said"
    read_only.predict(out=out, progress=False)
    kept = Project.open(out / "project")
    embedder_id = Classifier.load(kept.folder / "classifiers" / "classifier").embedder.embedder_id
    version = kept.store.version(f"embeddings_{embedder_id}")
    assert version > 0
    read_only.predict(out=out, progress=False)
    assert kept.store.version(f"embeddings_{embedder_id}") == version
    decided = kept.decide(min_moments=3, progress=False)  # what was predicted can be decided again
    assert decided.recordings_per_class == {"undecided": 12}


def test_a_read_only_project_asks_where_results_go(read_only: Project) -> None:
    with pytest.raises(StoreError, match="out=FOLDER"):
        read_only.predict(progress=False)
    with pytest.raises(StoreError, match="out=FILE"):
        read_only.report(progress=False)


def test_a_report_that_cannot_be_written_says_so(whales: Project, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(PseudorcaError, match="cannot be written"):
        whales.report(tmp_path / "file" / "report.html", progress=False)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_the_right_to_write_is_read_only(scanned: Store) -> None:
    assert not access.is_read_only(scanned.folder)
    scanned.folder.chmod(0o555)
    try:
        assert access.is_read_only(scanned.folder)
        with pytest.raises(StoreError, match="cannot be locked"):
            Project.open(scanned.folder).clips()
    finally:
        scanned.folder.chmod(0o755)


# A verb that fails leaves no new project folder


def test_create_that_fails_leaves_nothing(survey: Path, tmp_path: Path) -> None:
    for recordings, options in (
        (tmp_path / "nowhere", {}),
        (survey, {"other": ["Pelagik"]}),
        (survey, {"metadata": tmp_path / "nowhere.csv"}),
    ):
        with pytest.raises(PseudorcaError):
            Project.create(tmp_path / "a" / "b", recordings, progress=False, **options)
        assert not (tmp_path / "a").exists()


def test_create_that_fails_leaves_what_was_there(survey: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ManifestError):
        Project.create(tmp_path / "empty", tmp_path / "nowhere", progress=False)
    assert list((tmp_path / "empty").iterdir()) == []
    whales = Project.create(tmp_path / "whales", survey, progress=False)
    with pytest.raises(ManifestError):
        Project.create(tmp_path / "whales", tmp_path / "nowhere", progress=False)
    assert len(whales.recordings) == 36
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    with pytest.raises(StoreError, match="is not empty"):
        Project.create(tmp_path / "other", survey, progress=False)
    assert contents(tmp_path / "other").keys() == {"mine.txt"}


def test_a_new_project_that_holds_embeddings_stays_when_the_work_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with new_project(tmp_path / "p") as whales:
            whales.store.append_vectors("e", ["clip"], np.zeros((1, 2), dtype=np.float32))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert Project.open(tmp_path / "p").store.embedded("e") == {"clip"}


@pytest.mark.parametrize("interrupted", ["while it waits", "at work"])
def test_who_waited_for_a_new_project_and_fails_leaves_what_the_other_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupted: str
) -> None:
    folder, lock = tmp_path / "new" / "p", access.locked

    def other_first(store: Store) -> Any:
        Store(folder).keep_setting("other", ["Noise"])
        if interrupted == "while it waits":
            raise KeyboardInterrupt
        return lock(store)

    monkeypatch.setattr(access, "locked", other_first)
    with pytest.raises(KeyboardInterrupt), new_project(folder):
        raise KeyboardInterrupt
    assert Store(folder).setting("other") == ["Noise"]


def test_who_waits_for_a_new_project_that_vanishes_is_told_so(tmp_path: Path) -> None:
    told: list[BaseException] = []

    def wait() -> None:
        try:
            with new_project(tmp_path / "new" / "p"):
                pass
        except StoreError as error:
            told.append(error)

    thread = threading.Thread(target=wait)
    with suppress(KeyboardInterrupt), new_project(tmp_path / "new" / "p"):
        thread.start()
        time.sleep(0.5)  # it looks for the lock every 0.05 s
        raise KeyboardInterrupt
    thread.join()
    assert "Run the command again" in str(told[0])
    assert not (tmp_path / "new").exists()


def test_verbs_that_fail_leave_no_new_folder(survey: Path, whales: Project, tmp_path: Path) -> None:
    for arguments in (
        ["scan", str(tmp_path / "nowhere"), "-p", str(tmp_path / "new" / "p")],
        ["demo", str(survey / "Insular"), "--out", str(tmp_path / "new")],
        ["clips", "-p", str(tmp_path / "new")],
        ["reproduce", str(survey / "Insular"), "--out", str(tmp_path / "new")],
    ):
        assert isinstance(CliRunner().invoke(cli.app, arguments).exception, PseudorcaError)
        assert not (tmp_path / "new").exists(), arguments
    small = StudyOptions(backbones=("logmel",), weights={})
    with pytest.raises(PseudorcaError):
        reproduce(survey / "Insular", tmp_path / "new", small)
    assert not (tmp_path / "new").exists()


def test_a_prediction_that_fails_leaves_no_new_folder(read_only: Project, tmp_path: Path) -> None:
    for wrong in (
        {"formats": ["ravn"]},
        {"prior": "Insular=0.5"},
        {"max_gap_s": -1.0},
        {"classifier": "nobody"},
        {"paths": tmp_path / "nowhere.wav"},
    ):
        with pytest.raises(PseudorcaError):
            read_only.predict(out=tmp_path / "new", progress=False, **wrong)
        assert not (tmp_path / "new").exists(), wrong


# Progress


def test_progress_goes_to_the_callable_that_is_given(survey: Path, tmp_path: Path) -> None:
    calls: dict[str, list[tuple[int, int]]] = {}

    def follow(name: str) -> Any:
        return lambda done, total: calls.setdefault(name, []).append((done, total))

    whales = Project.create(tmp_path / "p", survey, progress=follow("scan"))
    whales.embed("logmel", progress=follow("embed"))
    whales.train(RECIPE, progress=follow("train"))
    whales.predict(progress=follow("predict")).write(tmp_path / "o", progress=follow("write"))
    whales.decide(progress=follow("decide"))
    whales.report(progress=follow("report"))
    whales.spectrograms(tmp_path / "png", progress=follow("spectrograms"))
    assert set(calls) == set("scan embed train predict write decide report spectrograms".split())
    for name, numbers in calls.items():
        done, total = numbers[-1]
        assert done == total > 0, name


def test_progress_is_a_bar_unless_it_is_chosen_away(
    survey: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    bars: list[str] = []
    real = progress.progress_bar
    monkeypatch.setattr(progress, "progress_bar", lambda text: bars.append(text) or real(text))
    whales = Project.create(tmp_path / "p", survey, progress=False)
    whales.report(progress=False)
    assert bars == []
    whales.report()
    assert len(bars) == 1
    assert capfd.readouterr().err == ""  # stderr is no terminal here


# Results

KEYS = {
    "scan": "n_recordings n_labelled n_unlabelled classes n_encounters n_moments duration_s "
    "n_problems problems n_other_files proposed_band notices folder",
    "clips": "n_clips n_moments n_padded clips_per_class n_problems n_without_selection problems "
    "notices",
    "folds": "split group_by n_groups n_validation not_testable n_straddling_moments folds",
    "embed": "embedder_id backbone layer weights weights_hash licence embedding_size front_end "
    "members device n_clips n_new n_new_views n_new_backgrounds n_problems problems notices",
    "train": "notices classifier classifier_id classes recipe head preparation calibration n_clips "
    "n_recordings n_encounters c network",
    "evaluate": "results recipe classifier_id notices network stricter nothing strangers",
    "predict": "n_files n_clips n_quiet n_problems n_detections n_small_groups files n_encounters "
    "recordings_per_class encounters_per_class problems output set_name classifier_id prior calibrated "
    "trust thresholds notices",
    "report": "output n_sections n_figures n_bytes problems notices",
    "spectrograms": "output layout n_pictures n_new pictures_per_class n_problems problems",
    "simulate": "recordings truth n_encounters n_files n_signals duration_s files_per_class",
    "contours": "output n_tables n_contours contours",
    "events": "input output files label n_events n_problems n_scored n_called n_verified n_positive "
    "n_pass n_pass_unmeasured n_verified_pass n_positive_pass prevalence fixed agreement "
    "operating_point surveys calibration prevalences decisions settings versions problems notices "
    "page",
    "compare": "time_utc reference headline_split splits variants rows chosen n_clips n_recordings "
    "n_encounters classes n_compared n_chosen_among not_chosen_among seconds "
    "seconds_computing_features versions notices summary output files",
    "audit": "data labels audit_id verdict p_nuisance difference best_control by_background_alone "
    "p_model smallest_p n_permutations enumerated chance classes units_per_class n_encounters n_clips "
    "n_labelled_clips background associations answerable why controls heard evaluated summary "
    "explained split group_by options recipe background_settings versions tables notices audited "
    "quick",
}
KEYS["decide"] = KEYS["predict"]
"""The keys of ``--json``. Scripts of users read them: they stay."""


@pytest.fixture(scope="module")
def results(
    survey: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Result], Project]:
    """A result of every verb."""
    folder = tmp_path_factory.mktemp("results")
    results: dict[str, Result] = {}
    with new_project(folder / "p") as whales:
        results["scan"] = whales.scan(survey, progress=False)
    results["folds"] = whales.folds(n_folds=2)
    results["clips"] = whales.clips()
    results["embed"] = whales.embed("logmel", progress=False)
    results["train"] = whales.train(RECIPE, progress=False)
    results["evaluate"] = whales.evaluate(RECIPE, n_folds=2, n_repeats=1, progress=False)
    results["predict"] = whales.predict(progress=False)
    results["decide"] = whales.decide(progress=False)
    results["report"] = whales.report(progress=False)
    results["spectrograms"] = whales.spectrograms(folder / "png", progress=False)
    results["compare"] = whales.compare(
        CompareOptions(splits=(Split("encounter", 2),)), progress=False
    )
    results["audit"] = whales.audit(
        RECIPE, n_folds=2, n_permutations=20, quick=True, progress=False
    )
    results["simulate"] = pseudorca.simulate_survey(
        folder / "survey",
        pseudorca.SurveyConfig(
            n_encounters=4, n_clips=4, n_unknown_encounters=0, n_unknown_clips=0
        ),
    )
    contour = pd.DataFrame({"time_s": [0.0, 0.1, 0.2], "frequency_hz": [5e3, 6e3, 7e3]})
    contour.to_csv(folder / "contour.csv", index=False)
    results["contours"] = measure_contour_tables([folder / "contour.csv"], folder / "contours.csv")
    rng = np.random.default_rng(0)
    is_whale = rng.random(200) < 0.4
    table = {
        "event.id": [f"E{k}" for k in range(200)],
        "X33": np.clip(is_whale * 0.4 + 0.6 * rng.random(200), 0, 1),
        "original": np.where(is_whale, "X33", "other"),
        "year": rng.choice(["2017", "2023", "2024"], 200),
    }
    pd.DataFrame(table).to_csv(folder / "events.csv", index=False)
    options = EventOptions(
        EventColumns(verified=(), called=None),
        FILTERS["none"],
    )
    results["events"] = pseudorca.decide_events(
        folder / "events.csv", folder / "decided", options=options
    )
    return results, whales


@pytest.mark.parametrize("verb", sorted(KEYS))
def test_json_has_the_keys_that_scripts_read(verb: str, results: Any) -> None:
    values = results[0][verb].as_json()
    assert set(values) == set(KEYS[verb].split())
    assert json.loads(json.dumps(values, default=str)).keys() == values.keys()


@pytest.mark.parametrize("verb", sorted(KEYS))
def test_a_result_is_a_short_summary_and_a_table(verb: str, results: Any) -> None:
    result = results[0][verb]
    lines = str(result).splitlines()
    assert 1 <= len(lines) <= 3
    assert all(line.strip() for line in lines)
    assert lines[0] in repr(result)
    assert len(repr(result).splitlines()) == 1
    page = result._repr_html_()
    table = result.main_table()
    if table is not None and len(table):
        assert page.count("<tr") - 1 == min(len(table), MOST_ROWS)


def test_names_in_a_result_are_escaped_in_a_notebook(tmp_path: Path) -> None:
    for label in ("<b>x</b>", "other"):
        (tmp_path / "data" / label).mkdir(parents=True)
        sound = np.random.default_rng(len(label)).standard_normal(8_000)
        sf.write(tmp_path / "data" / label / "a.wav", 0.1 * sound, 8_000)
    with new_project(tmp_path / "p") as whales:
        page = whales.scan(tmp_path / "data", progress=False)._repr_html_()
    assert "<b>" not in page
    assert "&lt;b&gt;" in page


@pytest.mark.parametrize("formats", [["csv"], ["parquet"]])
def test_tables_of_a_prediction_are_typed_whatever_their_format(
    whales: Project, formats: list[str]
) -> None:
    said = whales.predict(formats=formats, progress=False)
    assert (len(said.clips), len(said.recordings), len(said.encounters)) == (said.n_clips, 12, 4)
    assert len(said.detections) == said.n_detections
    for table in (said.clips, said.recordings):
        assert table["probability"].dtype == np.float64
        assert table["in_training"].dtype == bool
        assert str(table["start_utc"].dtype) == "datetime64[us, UTC]"
        assert table["reason"].notna().all()
    assert said.encounters is said.encounters  # read once


def test_tables_of_a_prediction_that_heard_nothing_are_empty_with_their_columns(
    whales: Project, tmp_path: Path
) -> None:
    (tmp_path / "broken.wav").write_text("no sound")
    said = whales.predict(tmp_path / "broken.wav", progress=False)
    assert said.files == {}
    for table in (said.clips, said.recordings, said.encounters, said.detections):
        assert table.empty
        assert "decision" in table


def test_a_table_of_a_later_prediction_is_not_taken_for_this_one(
    whales: Project, survey: Path
) -> None:
    first = whales.predict(survey / "Unknown" / "Lasker_AC_90", set_name="one", progress=False)
    assert len(first.recordings) == 3
    whales.predict(set_name="one", progress=False)
    assert len(first.recordings) == 3  # read before
    with pytest.raises(PseudorcaError, match="was changed since"):
        _ = first.clips


def test_written_formats_are_those_that_predict_writes(
    whales: Project, predicted: Any, tmp_path: Path
) -> None:
    versions = {table: whales.store.version(table) for table in ("scores", "decisions", "runs")}
    paths = predicted.write(tmp_path / "a", formats=["raven", "audacity"], progress=False)
    assert {path.suffix for path in paths} == {".txt"}
    assert all(path.exists() for path in paths)
    whales_now = {table: whales.store.version(table) for table in versions}
    assert whales_now == versions  # nothing was said anew
    whales.predict(out=tmp_path / "b", formats=["parquet", "raven", "audacity"], progress=False)
    written, expected = bytes_of(tmp_path / "a"), bytes_of(tmp_path / "b")
    for name, content in written.items():
        if not name.startswith("."):
            assert content == expected[name], name


def test_writing_reads_no_sound_and_decides_alike(
    whales: Project, survey: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "unknown"
    folder.mkdir()
    for path in sorted((survey / "Unknown").rglob("*.wav"))[:3]:
        (folder / path.name).write_bytes(path.read_bytes())
    said = whales.predict(folder, prior={"Insular": 0.001, "Pelagic": 0.999}, progress=False)
    for path in folder.iterdir():
        path.unlink()
    whales.train(Recipe(LogisticHead(c=10.0)), progress=False)  # another classifier of that name
    said.write(tmp_path / "out", progress=False)
    assert bytes_of(tmp_path / "out")["clips.csv"] == (said.output / "clips.csv").read_bytes()


def test_writing_beside_the_predictions_keeps_their_formats(predicted: Any) -> None:
    before = bytes_of(predicted.output)
    predicted.write(predicted.output, formats=["opensoundscape"], progress=False)
    after = bytes_of(predicted.output)
    assert {name for name in before if name.endswith(".csv")} < set(after)
    assert len(predicted.clips) == predicted.n_clips


def test_a_classifier_is_named_handed_over_or_found_in_a_folder(
    whales: Project, predicted: Any, scanned_once: Path, survey: Path, tmp_path: Path
) -> None:
    folder = whales.folder / "classifiers" / "classifier"
    classifier = Classifier.load(folder)
    elsewhere = Project.create(tmp_path / "elsewhere", survey, progress=False)
    for given in (classifier, folder, whales.train(RECIPE, name="again", progress=False)):
        said = elsewhere.predict(None, given, progress=False)
        assert set(said.encounters_per_class) == {"Insular"}
        again = elsewhere.decide(progress=False)  # it is known there from now on
        assert again.classifier_id == said.classifier_id
    assert (
        elsewhere.predict(None, classifier, progress=False)
        .clips.drop(columns=["novelty", "probability", "p_Insular", "p_Pelagic"])
        .equals(predicted.clips.drop(columns=["novelty", "probability", "p_Insular", "p_Pelagic"]))
    )
    kept = [path.name for path in (elsewhere.folder / "classifiers").iterdir()]
    assert len(kept) == 2


def test_a_prior_by_class_is_that_of_its_text(whales: Project) -> None:
    by_class = whales.predict(prior={"Insular": 0.14, "Pelagic": 0.86}, progress=False)
    clips = by_class.clips
    in_text = whales.decide(prior="Insular=0.14,Pelagic=0.86", progress=False)
    assert by_class.prior == in_text.prior == "Insular=0.14,Pelagic=0.86"
    pd.testing.assert_frame_equal(clips, in_text.clips)


def test_a_table_is_always_among_the_formats(whales: Project) -> None:
    assert set(whales.predict(formats=["raven"], progress=False).files) == {"csv", "raven"}
    assert set(whales.decide(formats=["parquet"], progress=False).files) == {"parquet"}


def test_folds_write_nothing_and_cut_as_clips_would(scanned: Store) -> None:
    whales = Project.open(scanned.folder)
    before = contents(whales.folder)
    uncut = whales.folds(n_folds=2)
    assert contents(whales.folder) == before
    whales.clips()
    assert whales.folds(n_folds=2).as_json() == uncut.as_json()


def test_a_study_of_a_project_needs_its_one_folder(scanned: Store, tmp_path: Path) -> None:
    recordings = scanned.read("recordings")
    scanned.write("recordings", recordings.assign(root="s3://bucket/recordings"))
    with pytest.raises(StoreError, match="one folder of this machine"):
        Project.open(scanned.folder).reproduce(tmp_path / "study")


# The notebook of the plan


@pytest.mark.slow
def test_a_notebook_goes_from_recordings_to_a_report(tmp_path: Path) -> None:
    config = pseudorca.SurveyConfig(
        effect=3.0, n_encounters=8, n_clips=48, n_unknown_encounters=2, n_unknown_clips=8
    )
    survey = pseudorca.simulate_survey(tmp_path / "survey", config)
    whales = Project.create(tmp_path / "whales", survey.recordings, progress=False)
    whales.embed("pseudorca_small", band="16k", progress=False)
    recipe = pseudorca.Recipe(head=pseudorca.LogisticHead())
    result = whales.evaluate(recipe, splits=["encounter", "random"], n_repeats=1, progress=False)
    low, high = result["encounter"].interval
    assert low <= result["encounter"].balanced_accuracy <= high
    classifier = whales.train(recipe, progress=False)
    prior = dict.fromkeys(classifier.classes, 1 / len(classifier.classes))
    said = whales.predict(survey.recordings / "Unknown", classifier, prior=prior, progress=False)
    assert list(said.encounters[["encounter", "decision", "probability", "reason"]].columns)
    assert len(said.encounters) == 2
    assert said.write(tmp_path / "out", formats=["raven", "csv"], progress=False)
    audit = whales.audit(recipe, n_permutations=20, quick=True, progress=False)
    assert audit.verdict in ("animals", "recorder", "cannot tell")
    assert whales.report(tmp_path / "report.html", progress=False).output.exists()


def test_a_classifier_is_named_or_lies_elsewhere_and_is_never_rewritten(
    trained: Store, survey: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(trained.folder / "classifiers" / "classifier", elsewhere)
    before = {path.name: path.stat().st_mtime_ns for path in elsewhere.iterdir()}
    damaged = trained.folder / "classifiers" / "damaged"
    damaged.mkdir()
    (damaged / "classifier.json").write_text("{")
    project = Project(trained)
    said = project.predict(survey / "Unknown", str(elsewhere), progress=False)
    assert {path.name: path.stat().st_mtime_ns for path in elsewhere.iterdir()} == before
    assert said.classifier_id == project.decide(progress=False).classifier_id


def test_splits_of_one_name_are_refused_and_one_alone_needs_no_list(embedded: Store) -> None:
    project = Project(embedded)
    recipe = Recipe(LogisticHead(c=1.0))
    result = project.evaluate(recipe, "encounter", n_folds=2, n_repeats=1, progress=False)
    assert list(result) == ["encounter", "day"]  # what joins encounters is held out, too
    same = [Split("encounter", n_folds=2), Split("encounter", n_folds=3)]
    with pytest.raises(FoldError, match="different name"):
        project.evaluate(recipe, same, progress=False)
    with pytest.raises(ManifestError, match="no recordings"):
        Project.create(embedded.folder, labels=["Insular"])
