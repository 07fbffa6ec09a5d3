"""``compare`` over a project: every embedder that has the clips, from kept embeddings."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

from pseudorca import cli
from pseudorca.compare import compare as compare_stage
from pseudorca.compare.choosing import NESTED
from pseudorca.compare.compare import CompareOptions, compare_project
from pseudorca.compare.page import write_comparison
from pseudorca.embedding.embed import EmbedderOptions, embed_project
from pseudorca.embedding.embedder import load_embedder
from pseudorca.embedding.known_embedders import known_embedders
from pseudorca.errors import PseudorcaError
from pseudorca.evaluation.evaluate import evaluate_project
from pseudorca.learning.classifier import Classifier
from pseudorca.learning.heads.registry import make_head
from pseudorca.learning.recipe import Recipe
from pseudorca.learning.train import train_project
from pseudorca.prediction.predict import predict_project
from pseudorca.recordings.folds import Split
from pseudorca.store import EMBEDDER_FOLDER, Store

from .conftest import BACKBONE

OPTIONS = CompareOptions(
    classic=("logmel", "mean_spectrum"),
    ensembles=(f"{BACKBONE}+logmel",),
    splits=(Split("encounter", n_folds=2, n_repeats=1),),
)


def test_all_embedders_are_compared_and_written(embedded: Store, tmp_path: Path) -> None:
    result = compare_project(embedded, OPTIONS, tmp_path / "out").as_json()
    names = {
        BACKBONE, "logmel", "mean_spectrum", f"{BACKBONE} + logmel, side by side",
        f"{BACKBONE} + logmel, mean of scores",
    }  # fmt: skip
    assert set(result["variants"]) == names | {NESTED}
    assert result["n_compared"] == 5
    table = pd.read_csv(tmp_path / "out" / "comparison.csv")
    assert len(table) == 3 * (6 + 5)  # units; the choice under the honest split only
    assert set(table["split"]) == {"encounter", "random"}
    assert json.loads((tmp_path / "out" / "comparison.json").read_text())["rows"] == result["rows"]
    rows = {row["variant"]: row for row in result["rows"] if row["unit"] == "clip"}
    assert rows["logmel"]["licence"] == "Apache-2.0"
    assert rows["logmel"]["kind"] == "no network"
    both = rows[f"{BACKBONE} + logmel, side by side"]
    assert both["embedding_size"] == rows[BACKBONE]["embedding_size"] + 256
    assert 0 < both["clips_per_s"] < rows["logmel"]["clips_per_s"]
    assert "among 5" in result["summary"]


def test_a_second_run_computes_nothing_and_says_the_same(
    embedded: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compare_project(embedded, OPTIONS, tmp_path).as_json()
    n_runs = len(embedded.read("runs", where="verb = 'embed'"))
    monkeypatch.setattr(compare_stage, "embed_clips", None)
    second = compare_project(embedded, OPTIONS, tmp_path).as_json()
    assert len(embedded.read("runs", where="verb = 'embed'")) == n_runs
    drop = ("clips_per_s",)
    for one, other in zip(first["rows"], second["rows"], strict=True):
        assert {k: v for k, v in one.items() if k not in drop} == {
            k: v for k, v in other.items() if k not in drop
        }


def test_comparison_files_are_as_they_were_where_the_disk_is_full(
    embedded: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    options = replace(OPTIONS, classic=("mean_spectrum",), ensembles=())
    result = compare_project(embedded, options, folder).as_json()
    write_comparison(result, folder / "comparison.html")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert len(before) == 4

    draw = Figure.savefig

    def half(self, path, *rest, **how):  # type: ignore[no-untyped-def]
        if not isinstance(path, Path):  # a figure inside the page
            return draw(self, path, *rest, **how)
        path.write_text("ha")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", half)
    with pytest.raises(PseudorcaError, match="No space left"):
        compare_project(embedded, options, folder)
    monkeypatch.setattr(Figure, "savefig", half)
    with pytest.raises(PseudorcaError, match="No space left"):
        write_comparison(result, folder / "comparison.html")
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    del before["comparison.html"], after["comparison.html"]  # the page itself is written anew
    assert after == before


def test_classic_features_do_not_become_the_embedder_of_the_project(
    embedded: Store, tmp_path: Path
) -> None:
    before = load_embedder(embedded.folder / EMBEDDER_FOLDER).embedder_id
    compare_project(embedded, OPTIONS, tmp_path)
    assert load_embedder(embedded.folder / EMBEDDER_FOLDER).embedder_id == before
    known = {one.name: one for one in known_embedders(embedded)}
    assert set(known) == {BACKBONE, "logmel", "mean_spectrum"}
    assert known[BACKBONE].embedder_id == before
    for one in known.values():
        assert load_embedder(one.folder).embedder_id == one.embedder_id


def test_embedders_of_one_network_are_told_apart(embedded: Store, weights: Path) -> None:
    options = EmbedderOptions(BACKBONE, str(weights), settings=(("levels", "pcen"),))
    embed_project(embedded, options)
    names = [one.name for one in known_embedders(embedded)]
    assert names == [f"{BACKBONE} (levels db)", f"{BACKBONE} (levels pcen)"]


def test_unknown_names_are_named(embedded: Store, tmp_path: Path) -> None:
    for options, said in (
        (CompareOptions(classic=("mfc",)), "Did you mean 'mfcc'"),
        (CompareOptions(only=("birdnet",)), "unknown embedder of this project 'birdnet'"),
        (CompareOptions(ensembles=(BACKBONE,)), "joins two or more"),
        (CompareOptions(against="x"), "unknown variant 'x'"),
        (
            CompareOptions(splits=(Split("random"),)),
            "clips of one encounter on both sides",
        ),
    ):
        with pytest.raises(PseudorcaError, match=said):
            compare_project(embedded, options, tmp_path)


def test_what_is_not_for_commercial_use_is_compared_but_not_chosen(
    embedded: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def limited(licence: str) -> bool:
        return "unknown (local weights file)" in licence

    monkeypatch.setattr(compare_stage, "is_non_commercial", limited)
    result = compare_project(embedded, OPTIONS, tmp_path).as_json()
    left_out = [name for name in result["variants"] if BACKBONE in name]
    assert list(result["not_chosen_among"]) == left_out
    assert len(left_out) == 3  # alone, and both ensembles that it is in
    assert set(result["chosen"]["encounter"]) <= {"logmel", "mean_spectrum"}
    assert result["n_chosen_among"] == 2
    assert "--choose-among all" in result["summary"]
    assert "unknown (local weights file)" in result["summary"]
    rows = {row["variant"]: row for row in result["rows"]}
    assert (rows[BACKBONE]["may_be_chosen"], rows["logmel"]["may_be_chosen"]) == (False, True)
    every = compare_project(embedded, replace(OPTIONS, choose_among=("all",)), tmp_path).as_json()
    assert (every["n_chosen_among"], every["not_chosen_among"]) == (5, {})
    mine = replace(OPTIONS, choose_among=(BACKBONE,))
    assert set(compare_project(embedded, mine, tmp_path).as_json()["chosen"]["encounter"]) == {
        BACKBONE
    }
    with pytest.raises(PseudorcaError, match="nothing to choose among"):
        compare_project(embedded, CompareOptions(only=(BACKBONE,)), tmp_path)
    wanted = replace(OPTIONS, choose_among=("birdnet",))
    with pytest.raises(PseudorcaError, match="unknown embedder compared here 'birdnet'"):
        compare_project(embedded, wanted, tmp_path)


@pytest.mark.slow
def test_the_verb_writes_a_page_and_a_figure(embedded: Store) -> None:
    arguments = ["compare", "--project", str(embedded.folder), "--with", "logmel"]
    arguments += ["--folds", "2", "--repeats", "1", "--head", "logistic", "--head", "gmm"]
    result = CliRunner().invoke(cli.app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout[result.stdout.index("{") :])
    page = Path(found["files"]["page"]).read_text()
    assert "What to expect" in page
    assert f"{BACKBONE}, gmm" in page
    assert Path(found["files"]["figure"]).read_bytes().startswith(b"\x89PNG")
    said = CliRunner().invoke(cli.app, arguments)
    assert "balanced accuracy" in said.output
    assert "among 4" in " ".join(said.output.split())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["svm", "forest", "gmm"])
def test_classic_heads_do_the_whole_job(embedded: Store, name: str) -> None:
    head = make_head(name, n_trees=20 if name == "forest" else None)
    evaluate_project(embedded, Recipe(head), [Split("encounter", n_folds=2)])
    trained = train_project(embedded, Recipe(head)).as_json()
    again = Classifier.load(Path(trained["classifier"]))
    assert again.classifier_id == trained["classifier_id"]
    result = predict_project(embedded)
    assert len(result.problems) == 0


@pytest.mark.slow
def test_a_markov_model_is_trained_on_frames(embedded: Store) -> None:
    embed_project(embedded, EmbedderOptions("mfcc_frames"))
    trained = train_project(
        embedded, Recipe(make_head("hmm", n_states=2, n_iterations=5))
    ).as_json()
    result = predict_project(embedded)
    encounters = pd.read_csv(result.output / "encounters.csv")
    assert set(encounters["most_probable"]) == {"Insular"}  # as they were made
    assert set(trained["classes"]) == {"Insular", "Pelagic"}


@pytest.mark.parametrize("kind", ["svm", "mean"])
def test_another_process_reads_a_classifier_of_any_kind(embedded: Store, kind: str) -> None:
    recipe = Recipe(make_head("svm"), "scores" if kind == "mean" else "embeddings")
    folder = train_project(embedded, recipe).folder
    script = (
        "import sys, pseudorca\n"
        "classifier = pseudorca.Classifier.load(sys.argv[1], device='cpu')\n"
        "print(classifier.head.kind, classifier.classifier_id)"
    )
    arguments = [sys.executable, "-c", script, str(folder)]
    said = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.split()
    assert said == [kind, Classifier.load(folder).classifier_id]
