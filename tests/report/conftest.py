"""A small project with everything in it, and its report, made once."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from pseudorca.evaluation.evaluate import evaluate_project
from pseudorca.frontends.common import CommonFrontEnd
from pseudorca.learning.calibration import Calibrator, Prior
from pseudorca.learning.heads.softmax import SoftmaxHead
from pseudorca.learning.recipe import Recipe
from pseudorca.learning.units import aggregate
from pseudorca.prediction.decisions import Rule, decide
from pseudorca.recordings.clips import ClipOptions, clips_project, cut
from pseudorca.recordings.folds import Split
from pseudorca.recordings.manifest import ScanOptions
from pseudorca.recordings.scan import scan_project
from pseudorca.report.report import report_project
from pseudorca.store import TABLES, Store

ODD = 'Insular <b>&"$x$'
"""A class name that is markup to a browser and mathematics to Matplotlib."""

CLASSES = (ODD, "Pelagic")
RATE = 8_000
UNIFORM = Prior("uniform", np.array([0.5, 0.5]))
HEAD = SoftmaxHead(n_epochs=3, batch_size=8, learning_rate=0.05, balance="sampler")


def write_recordings(root: Path, *, n_encounters: int = 5, n_each: int = 2) -> None:
    """Class folders with encounters of short recordings, one of 3 channels, and Unknown ones."""
    rng = np.random.default_rng(0)
    number = 0
    for label in (*CLASSES, "Unknown"):
        for _ in range(n_encounters if label != "Unknown" else 1):
            number += 1
            folder = root / label / f"{'Sette' if number % 2 else 'Lasker'}_AC_{number}"
            folder.mkdir(parents=True)
            for k in range(n_each):
                n_channels = 3 if (number, k) == (1, 0) else 1
                sound = 0.1 * rng.standard_normal((RATE // 2, n_channels))
                sf.write(folder / f"cut{k}.wav", sound, RATE, subtype="PCM_16")
    (root / "Pelagic" / "broken <i>.wav").write_bytes(b"not audio")


def scanned_project(folder: Path, **options: Any) -> Store:
    write_recordings(folder / "survey", **options)
    store = Store(folder / "project", create=True)
    scan_project(store, folder / "survey", ScanOptions(), n_threads=1)
    clips_project(store, ClipOptions(window_s=0.4))
    return store


def evaluate(store: Store, *splits: str) -> None:
    """Evaluate on made-up embeddings that hold a little of the label and all of the encounter."""
    embedder = SimpleNamespace(embedder_id="madeup", front_end=CommonFrontEnd.in_band("16k"))
    embedder.backbone = SimpleNamespace(name="none")
    embedder.members = (embedder,)
    clips = store.read("clips")
    rng = np.random.default_rng(1)
    encounters = clips["encounter"].astype("category").cat.codes.to_numpy()
    vectors = rng.standard_normal((len(clips), 8)) + 4 * rng.standard_normal((64, 8))[encounters]
    vectors[:, 0] += np.where(clips["label"].fillna("") == "Pelagic", 3.0, -3.0)
    store.append_vectors("madeup", clips["clip_id"].tolist(), vectors.astype(np.float32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pseudorca.learning.labelled.load_embedders", lambda folder, **how: embedder)
        made = [Split(name, n_folds=2, n_repeats=2) for name in splits]
        evaluate_project(store, Recipe(HEAD, nothing="none"), made)
    about = {"embedder_id": "madeup", "front_end": embedder.front_end.settings()}
    about["backbone"] = {
        "name": "none",
        "weights_hash": "c0ffee",
        "source": "https://example.org/w",
    }
    (store.folder / "embedder").mkdir()
    (store.folder / "embedder" / "embedder.json").write_text(json.dumps(about))


def predict(store: Store) -> None:
    """Keep decisions on the unlabelled recordings, as ``predict`` does."""
    recordings = store.read("recordings")
    unknown = recordings[recordings["label"].isna()].reset_index(drop=True)
    clips, _ = cut(unknown, ClipOptions(window_s=0.4))
    scores = np.log(np.tile([0.3, 0.7], (len(clips), 1)))
    tables = []
    for unit in ("recording", "encounter"):
        units = aggregate(clips, unknown, scores, unit)
        about = {"unit": unit, "classifier_id": "madeupclassifier", "trained": UNIFORM}
        about["set_name"] = "unlabelled"
        decided, _ = decide(units, Calibrator(list(CLASSES)), Rule(UNIFORM), **about)
        tables.append(decided[list(TABLES["decisions"])])
        written = units.table.assign(
            path="Unknown/<u>cut.wav", decision="Pelagic", probability=0.7, prior="uniform",
            most_probable="Pelagic", reason="",
            classifier_id="madeupclassifier", **{f"p_{ODD}": 0.3, "p_Pelagic": 0.7},
        )  # fmt: skip
        (store.folder / "predictions").mkdir(exist_ok=True)
        written.to_csv(store.folder / "predictions" / f"{unit}s.csv", index=False)
    store.write("decisions", pd.concat(tables, ignore_index=True))
    named = pd.Series("unlabelled", index=unknown.index, dtype="string")
    store.append("predicted", unknown.assign(set_name=named))
    settings = {
        "classifier_id": "madeupclassifier", "name": "mine", "set_name": "unlabelled",
        "roots": sorted(set(unknown["root"])), "output": str(store.folder / "predictions"),
    }  # fmt: skip
    store.record_run("predict", settings, ("decisions",))
    folder = store.folder / "classifiers" / "mine"
    folder.mkdir(parents=True)
    history = [{"epoch": e, "loss": 1 / e, "accuracy": 0.5 + 0.1 * e} for e in (1, 2, 3)]
    about = {
        "classifier_id": "madeupclassifier", "classes": list(CLASSES), "clips": {},
        "training": {"head": HEAD.settings()}, "calibration": {},
        "head": {"history": history, "best_epoch": 3},
    }  # fmt: skip
    (folder / "classifier.json").write_text(json.dumps(about))
    (folder / "embedder.json").write_text(json.dumps({"embedder_id": "madeup"}))


@pytest.fixture(scope="session")
def making() -> SimpleNamespace:
    """What tests make projects of their own with."""
    return SimpleNamespace(odd=ODD, project=scanned_project, evaluate=evaluate, predict=predict)


@pytest.fixture(scope="session")
def full_project(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = scanned_project(tmp_path_factory.mktemp("full"))
    evaluate(store, "random", "encounter")
    predict(store)
    return store


@pytest.fixture(scope="session")
def full_report(full_project: Store) -> SimpleNamespace:
    """The result of ``report_project`` for the full project, its page and its progress."""
    calls: list[tuple[int, int]] = []
    target = full_project.folder / "deep" / "report.html"
    result = report_project(full_project, target, progress=lambda *done: calls.append(done))
    html = target.read_text(encoding="utf-8")
    return SimpleNamespace(result=result, html=html, progress=calls)
