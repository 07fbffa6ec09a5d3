"""A classifier that is asked in Python says what the command line says, and writes to no project."""

import gc
from pathlib import Path

import pytest

import pseudorca as po
from pseudorca.errors import ClassifierError
from pseudorca.evaluation.trust import Trust
from pseudorca.learning.classifier import save_trust
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.recipe import Recipe
from pseudorca.learning.train import train_project
from pseudorca.store import TABLES, Store


@pytest.fixture
def whales(embedded: Store) -> po.Project:
    """A project whose classifier was evaluated and audited, as far as its trust says."""
    result = train_project(embedded, Recipe(LogisticHead(c=0.01)))
    known = Trust("encounter", 0.78, 0.59, 0.88, 0.5, 21, verdict="cannot tell")
    save_trust(result.folder, known.as_json())
    return po.Project(embedded)


def state(store: Store) -> dict[str, object]:
    versions = {table: store.version(table) for table in TABLES}
    return versions | {"files": sorted(path.as_posix() for path in store.folder.rglob("*.csv"))}


def test_asking_says_the_sentences_of_predict_and_changes_no_project(
    whales: po.Project, survey: Path
) -> None:
    files = sorted((survey / "Unknown" / "Lasker_AC_90").iterdir())
    before = state(whales.store)
    wishes = {"prior": {"Insular": 0.14, "Pelagic": 0.86}, "min_probability": 0.0}
    asked = whales.classifier().predict(files, **wishes, progress=False)
    assert state(whales.store) == before
    sentences = asked.sentences()
    assert len(sentences) == len(files) == len(asked.recordings)
    for sentence, file in zip(sentences, files, strict=True):
        for fact in (file.name, "0.78 [0.59, 0.88]", "cannot tell", "% chance"):
            assert fact in sentence
    names = dict(zip(asked.recordings["path"], asked.recordings["decision"], strict=True))
    assert all(f"prior {wishes['prior'][name]}" in text for text, name
               in zip(sentences, names.values(), strict=True))  # fmt: skip
    assert whales.predict(files, **wishes, progress=False).sentences() == sentences


def test_what_was_asked_is_forgotten_with_its_result(whales: po.Project, survey: Path) -> None:
    file = survey / "Unknown" / "Lasker_AC_90" / "20170710_031200_ch05_sel00.wav"
    result = whales.classifier().predict(file, progress=False)
    output = result.output
    assert output.is_dir()
    del result
    gc.collect()
    assert not output.exists()


def test_an_undecided_file_is_said_with_its_reason(whales: po.Project, survey: Path) -> None:
    folder = whales.folder / "classifiers" / "classifier"
    asked = po.Classifier.load(folder).predict(
        survey / "Unknown" / "Lasker_AC_91", min_probability=1.0, progress=False
    )
    for sentence, reason in zip(asked.sentences(), asked.recordings["reason"], strict=True):
        assert "undecided" in sentence
        assert reason in sentence


def test_a_classifier_that_is_not_there_is_refused(whales: po.Project) -> None:
    with pytest.raises(ClassifierError, match="nobody"):
        whales.classifier("nobody")
