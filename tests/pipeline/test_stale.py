"""Results of other recordings, or of other labels, are told from those of what a project holds now."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pseudorca.errors import ManifestError
from pseudorca.labels.annotation import Annotation
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.recipe import Recipe
from pseudorca.prediction.predict import predict_project
from pseudorca.project import Project
from pseudorca.recordings.options import ScanOptions
from pseudorca.recordings.scan import scan_project
from pseudorca.report.contents import evidence, read_project
from pseudorca.report.summary import summary_section
from pseudorca.store import Store

from .conftest import BACKBONE, copied

RECIPE = Recipe(LogisticHead(c=0.01))


@pytest.fixture(scope="module")
def known_once(embedded_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a classifier and its evaluation."""
    store = copied(embedded_once, tmp_path_factory.mktemp("known") / "project")
    project = Project(store)
    project.train(RECIPE, progress=False)
    project.evaluate(RECIPE, n_folds=2, n_repeats=1, stricter=False, progress=False)
    return store.folder


@pytest.fixture
def known(known_once: Path, tmp_path: Path) -> Store:
    return copied(known_once, tmp_path / "project")


def test_the_same_recordings_and_more_of_them_are_scanned_as_they_are(
    known: Store, survey: Path, tmp_path: Path
) -> None:
    scan_project(known, survey)
    assert evidence(read_project(known)).honest is not None


def test_another_folder_is_refused_until_it_is_asked_for(
    known: Store, survey: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(survey, tmp_path / "other")
    before = known.read("recordings")
    with pytest.raises(ManifestError, match=r"1 classifier, 1 evaluation made from 36 recordings"):
        scan_project(known, other)
    assert known.read("recordings").equals(before)
    scan_project(known, other, replace=True)
    assert set(known.read("recordings")["root"]) == {str(other)}


def test_other_labels_are_refused_and_make_the_evaluation_stale(known: Store, survey: Path) -> None:
    others = ScanOptions(other=("Pelagic",))
    two = ScanOptions(labels=("Insular",))  # Pelagic is no class any more
    with pytest.raises(ManifestError, match="other labels"):
        scan_project(known, survey, two)
    scan_project(known, survey, two, replace=True)
    contents = read_project(known)
    assert evidence(contents).honest is None
    assert contents.is_stale(contents.evaluations[0].labels_id)
    scan_project(known, survey, others, replace=True)
    assert evidence(read_project(known)).honest is None  # Pelagic counts as another sound
    scan_project(known, survey, replace=True)
    assert evidence(read_project(known)).honest is not None


def test_predict_says_that_the_labels_changed(known: Store, survey: Path) -> None:
    fine = predict_project(known, [survey / "Unknown"])
    assert not any("changed since" in notice for notice in fine.notices)
    scan_project(known, survey, ScanOptions(labels=("Insular",)), replace=True)
    changed = predict_project(known, [survey / "Unknown"])
    assert any("changed since this classifier was trained" in text for text in changed.notices)


def test_predict_says_that_a_classifier_is_of_other_recordings(
    known: Store, survey: Path, tmp_path: Path
) -> None:
    other = tmp_path / "recordings"
    for label, encounter in (("A", "Lasker_AC_90"), ("B", "Lasker_AC_91")):
        shutil.copytree(survey / "Unknown" / encounter, other / label / encounter)
    store = Store(tmp_path / "other", create=True)
    scan_project(store, other)
    foreign = known.folder / "classifiers" / "classifier"
    result = predict_project(store, [survey / "Unknown"], foreign)
    assert any("none of the recordings of this project (A, B)" in text for text in result.notices)


def test_what_is_known_of_a_classifier_travels_with_it(
    known: Store, survey: Path, tmp_path: Path
) -> None:
    away = Store(tmp_path / "away", create=True)
    result = predict_project(
        away, [survey / "Unknown"], known.folder / "classifiers" / "classifier"
    )
    evaluated = evidence(read_project(known)).honest.results["encounter"]
    assert result.trust.balanced_accuracy == evaluated["balanced_accuracy"]
    assert result.trust.verdict == "not audited"
    assert result.encounters["held_out_accuracy"].tolist() == [evaluated["balanced_accuracy"]] * 4
    assert set(result.clips["audit"]) == {"not audited"}
    saved = next((away.folder / "classifiers").iterdir()) / "trust.json"
    assert saved.exists()
    (sentence, *_) = result.sentences()
    assert f"{evaluated['balanced_accuracy']:.2f}" in sentence
    assert "not audited" in sentence


def test_a_classifier_of_settings_that_this_version_refuses_costs_a_line_of_the_report(
    known: Store, tmp_path: Path
) -> None:
    Project(known).train(Recipe(LogisticHead(c=1, seed=np.int64(1))), name="two", progress=False)
    assert Project(known).report(tmp_path / "fine.html", progress=False).problems.empty
    path = known.folder / "classifiers" / "two" / "classifier.json"
    record = json.loads(path.read_text())
    record["training"]["head"]["seed"] = "one"
    path.write_text(json.dumps(record))
    result = Project(known).report(tmp_path / "report.html", progress=False)
    assert any("seed" in detail for detail in result.problems["detail"])


def test_weights_are_given_as_a_path_too(known: Store, weights: Path) -> None:
    clips = Project(known).embed(BACKBONE, weights=weights, progress=False)
    assert clips.n_clips > 0


def test_a_stale_audit_is_no_verdict(known: Store, survey: Path) -> None:
    contents = read_project(known)
    record = {
        "recipe": evidence(contents).honest.about["recipe"], "verdict": "recorder",
        "labels": contents.labels_id, "data": evidence(contents).honest.data_id,
    }  # fmt: skip
    row = {"audit_id": "a", "time_utc": "2026-01-01", "result": json.dumps(record)}
    known.write("audits", pd.DataFrame([row]))
    assert summary_section(read_project(known)).blocks[0].cards[2].value == "Recorder"
    scan_project(known, survey, ScanOptions(labels=("Insular",)), replace=True)
    assert summary_section(read_project(known)).blocks[0].cards[2].value == "Not audited"


def test_other_moments_of_the_same_recordings_are_said_and_make_results_stale(
    known: Store, survey: Path
) -> None:
    now = known.read("recordings")
    of_two = now.sort_values("path").index[:2]
    known.write(
        "recordings", now.assign(moment_id=now["moment_id"].mask(now.index.isin(of_two), "m"))
    )
    result = Project(known).scan(survey, progress=False)
    (told,) = [text for text in result.notices if text.startswith("Moments change")]
    assert "2 recordings" in told
    assert any("1 classifier, 1 evaluation" in text for text in result.notices)
    assert known.read("recordings")["moment_id"].tolist() == now["moment_id"].tolist()
    contents = read_project(known)
    assert contents.is_stale(contents.evaluations[0].labels_id)
    assert evidence(contents).honest is None
    again = Project(known).scan(survey, progress=False)
    assert not any("change" in text for text in again.notices)
    assert evidence(read_project(known)).honest is None


def test_labels_of_encounters_that_are_called_otherwise_now_are_said_and_kept(
    known: Store, survey: Path
) -> None:
    now = known.read("recordings")
    is_first = now["encounter"] == "Lasker_AC_10"
    known.write(
        "recordings", now.assign(encounter=now["encounter"].mask(is_first, "ch05 2017-07-10"))
    )
    project = Project(known)
    annotation = Annotation(
        annotator="Ana",
        unit="encounter",
        unit_id="ch05 2017-07-10",
        question="content",
        answer="whistle",
    )
    project.labels.add(annotation)
    result = project.scan(survey, progress=False)
    assert any("ch05 2017-07-10 is now Lasker_AC_10" in text for text in result.notices)
    (lost,) = [text for text in result.notices if "stay in the journal" in text]
    assert "ch05 2017-07-10 (now Lasker_AC_10)" in lost
    assert project.labels.in_force()["unit_id"].tolist() == ["ch05 2017-07-10"]


def test_the_refusal_of_other_labels_lists_what_changes(known: Store, survey: Path) -> None:
    now = known.read("recordings")
    known.write(
        "recordings", now.assign(label=now["label"].replace("Insular", "Lānai"), moment_id="m")
    )
    with pytest.raises(ManifestError, match=r"other labels.*Labels change for 12.*Moments change"):
        scan_project(known, survey)
    result = scan_project(known, survey, replace=True)
    assert any("(Lānai, now Insular)" in text for text in result.notices)
