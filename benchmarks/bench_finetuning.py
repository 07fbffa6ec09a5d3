"""Fine-tuning the network in the box against its frozen embedding, on simulated surveys.

    python benchmarks/bench_finetuning.py [--keep FOLDER] [--seeds 11 12 13]
        [--recipe NAME=SETTING=VALUE,... ...] [--folds 3] [--repeats 1] [--encounters 48]
        [--clips-each 6] [--effect 0.8] [--signature 0.7] [--band 16k]
        [--backbone NAME --weights FILE] [--json FILE]

Each survey has as many encounters of one population as of the other, one channel, no confound. Both
sides use the same clips and folds by encounter: the frozen embedding (of ``pseudorca_small``) under
the logistic head, and each recipe of the head ``finetuned``, which trains anew from the same weights
in every fold. Printed, over all encounters of all surveys: balanced
accuracy and log loss by encounter (the latter also calibrated) and by clip, and the paired
differences with 95 % intervals (encounters resampled within class, 2,000 times). What was computed
is kept in the folder.
"""

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.optimize
import scipy.special
from numpy.typing import NDArray

from pseudorca.embedding.embed import EmbedderOptions, embed_project
from pseudorca.evaluation.encounter_accuracy import paired_difference
from pseudorca.evaluation.metrics import unit_truth
from pseudorca.learning.crossval import OutOfFold, cross_validate
from pseudorca.learning.heads.registry import make_head
from pseudorca.learning.labelled import LabelledProject
from pseudorca.learning.recipe import Recipe
from pseudorca.recordings.clips import ClipOptions, clips_project
from pseudorca.recordings.folds import Split, make_folds
from pseudorca.recordings.manifest import ScanOptions
from pseudorca.recordings.scan import scan_project
from pseudorca.simulation import SurveyConfig, simulate_survey
from pseudorca.store import Store

MEASURES = ("right", "loss", "calibrated_loss", "clips_right", "clips_loss")
_EIGHTHS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13])
    parser.add_argument(
        "--keep", type=Path, default=Path("finetuning"), help="for surveys, results"
    )
    parser.add_argument(
        "--recipe", nargs="*", default=["full=tuned_share=1", "half=tuned_share=0.5"]
    )
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--encounters", type=int, default=48)
    parser.add_argument("--clips-each", type=int, default=6)
    parser.add_argument("--effect", type=float, default=0.8)
    parser.add_argument("--signature", type=float, default=0.7)
    parser.add_argument("--band", default="16k", help="of the pictures; the network knows 16k")
    parser.add_argument("--backbone", default="pseudorca_small")
    parser.add_argument("--weights", default="")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    recipes = {"frozen": {}} | dict(map(recipe_from, given.recipe))
    split = Split("encounter", given.folds, given.repeats)
    world = {
        "n_encounters": given.encounters,
        "n_clips": given.encounters * given.clips_each,
        "effect": given.effect,
        "encounter_signature": given.signature,
    }
    tables = []
    for seed in given.seeds:
        words = "-".join(f"{value:g}" for value in (seed, *world.values()))
        words += "" if given.band == "16k" else f"-{given.band}"
        words += "" if given.backbone == "pseudorca_small" else f"-{given.backbone}"
        band = "" if given.band == "16k" else given.band
        ear = {"backbone": given.backbone, "weights": given.weights, "band": band}
        store = project(given.keep / words, world, seed, ear)
        for name, settings in recipes.items():
            tables.append(measured(store, name, settings, split).assign(recipe=name, survey=seed))
            row = tables[-1]
            print(
                f"survey {seed}, {name}: encounters {row.groupby('label')['right'].mean().mean():.3f}, "
                f"log loss {row['loss'].mean():.3f}, {row['seconds'].iloc[0]:.0f} s",
                flush=True,
            )
    result = summary(pd.concat(tables, ignore_index=True))
    print(result.T.to_string(header=False))
    if given.json:
        about = {"world": world, "seeds": given.seeds, "recipes": recipes, "split": vars(split)}
        text = json.dumps(about | {"rows": result.to_dict("records")}, indent=2, default=str)
        given.json.write_text(text + "\n")


def recipe_from(text: str) -> tuple[str, dict[str, Any]]:
    """``name=n_epochs=5,stages=2`` -> name and settings."""
    name, _, rest = text.partition("=")
    settings = {}
    for pair in filter(None, rest.split(",")):
        key, value = pair.split("=")
        try:
            settings[key] = json.loads(value)
        except ValueError:
            settings[key] = value
    return name, settings


def project(folder: Path, world: Mapping[str, Any], seed: int, ear: Mapping[str, str]) -> Store:
    """A survey, scanned, cut and embedded."""
    if (folder / "embedded").exists():
        return Store(folder / "project")
    config = SurveyConfig(
        seed=seed, insular_clips=0.5, insular_encounters=0.5, n_unknown_encounters=0,
        n_unknown_clips=0, max_channels=1, **world,
    )  # fmt: skip
    simulate_survey(folder / "survey", config)
    store = Store(folder / "project", create=True)
    scan_project(store, folder / "survey" / "recordings", ScanOptions())
    clips_project(store, ClipOptions())
    embed_project(store, EmbedderOptions(**{k: v for k, v in ear.items() if v}))
    (folder / "embedded").touch()
    return store


def measured(store: Store, name: str, settings: Mapping[str, Any], split: Split) -> pd.DataFrame:
    """A row per encounter: how often it was named rightly, and the log loss; read if it is kept."""
    kept = store.folder.parent / f"{name}-{abs(hash_of(settings, split))}.csv"
    if kept.exists():
        return pd.read_csv(kept)
    head = make_head("logistic") if name == "frozen" else make_head("finetuned", **settings)
    labelled = LabelledProject.read(store, Recipe(head))
    clips, recordings = labelled.clips, labelled.recordings
    folds = make_folds(clips, recordings, split)
    begun = time.monotonic()
    data = labelled.grouped(folds)
    scored = cross_validate(data, folds, labelled.trainer(split))
    table = by_encounter(clips, recordings, scored).assign(seconds=time.monotonic() - begun)
    table.to_csv(kept, index=False)
    return table


def hash_of(settings: Mapping[str, Any], split: Split) -> int:
    from pseudorca.values import hash_of as text_of

    return int(text_of([dict(settings), vars(split)])[:12], 16)


def by_encounter(clips: pd.DataFrame, recordings: pd.DataFrame, scored: OutOfFold) -> pd.DataFrame:
    groups = clips["encounter"].to_numpy(dtype=object)
    found = {}
    for unit in ("encounter", "clip"):
        truth = unit_truth(clips, recordings, scored.log_probabilities, unit=unit, groups=groups)
        actual = np.array([scored.classes.index(label) for label in truth.labels])
        log_p = scipy.special.log_softmax(truth.log_probabilities, axis=2)
        found[unit] = pd.DataFrame(
            {
                "encounter": truth.groups,
                "label": truth.labels,
                "right": (log_p.argmax(2) == actual).mean(0),
                "loss": -log_p[:, np.arange(len(actual)), actual].mean(0),
            }
        )
    of_clips = found["clip"].groupby("encounter")[["right", "loss"]].mean().add_prefix("clips_")
    return found["encounter"].join(of_clips, on="encounter")


def calibrated(rows: pd.DataFrame) -> NDArray[np.float64]:
    """Log loss of the encounters of one survey with a slope learned on seven eighths of the others.

    Of two classes: the log-odds of the right one follow from the log loss, where it is of one repeat.
    """
    odds = -np.log(np.expm1(rows["loss"].to_numpy()))
    order = np.random.default_rng(int(rows["survey"].iloc[0])).permutation(len(odds))
    losses = np.empty(len(odds))
    for part in np.array_split(order, _EIGHTHS):
        rest = np.setdiff1d(order, part)

        def loss(log_slope: float, rest: NDArray[np.int64] = rest) -> float:
            return float(np.logaddexp(0, -np.exp(log_slope) * odds[rest]).mean())

        found = scipy.optimize.minimize_scalar(loss, bounds=(-3, 3), method="bounded")
        losses[part] = np.logaddexp(0, -np.exp(found.x) * odds[part])
    return losses


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """A row per recipe: means over classes, and the paired differences from the frozen embedding."""
    rows = rows.sort_values(["survey", "encounter"]).reset_index(drop=True)
    for _, part in rows.groupby(["survey", "recipe"]):
        rows.loc[part.index, "calibrated_loss"] = calibrated(part)
    parts = dict(iter(rows.groupby("recipe", sort=False)))
    frozen = parts["frozen"]
    labels = frozen["label"].to_numpy(dtype=object)
    units = (frozen["survey"].astype(str) + " " + frozen["encounter"]).to_numpy(dtype=object)
    lines = []
    for name, part in parts.items():
        line: dict[str, Any] = {"recipe": name, "encounters": len(part)}
        for measure in MEASURES:
            line[measure] = round(part.groupby("label")[measure].mean().mean(), 3)
            if name != "frozen":
                values = {name: part[measure].to_numpy(), "frozen": frozen[measure].to_numpy()}
                by = paired_difference(values, labels, units, model=name, controls=["frozen"])
                line[f"{measure} - frozen"] = f"{by.value:+.3f} ({by.low:+.3f} to {by.high:+.3f})"
        line["seconds per survey"] = round(part.groupby("survey")["seconds"].first().mean(), 1)
        lines.append(line)
    return pd.DataFrame(lines)


if __name__ == "__main__":
    main()
