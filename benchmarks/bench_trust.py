"""What a class of nothing costs and what it refuses, on Watkins' recordings and on real noise.

``python benchmarks/bench_trust.py`` trains on six species with and without ``--nothing background``,
compares balanced accuracy by encounter and by outing on the same folds (paired), counts how often
held-out clips and held-out backgrounds are called nothing, and predicts on recordings of other
recorders. ``--elsewhere`` adds the recorders never seen: nothing is chosen on them, so it is asked
once, of a finished recipe.
"""

import argparse
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

import pseudorca as po
from pseudorca.evaluation.encounter_accuracy import balanced_accuracy, paired_difference, rightness
from pseudorca.learning.crossval import OutOfFold, cross_validate
from pseudorca.learning.labelled import LabelledProject
from pseudorca.learning.nothing import nothing_rates
from pseudorca.recordings.folds import Folds, make_folds

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
RECIPES = {"none": po.Recipe(), "background": po.Recipe(nothing="background")}
SPLITS = ("encounter", "outing")
OTHERS = ("pypam_300s_8k", "pamguard_examples", "array_6ch_32k_24bit", "orcasound_stereo_48k")


def scored(whales: po.Project, recipe: po.Recipe, split: po.Split) -> tuple[Any, Folds, OutOfFold]:
    """Out-of-fold scores of a recipe: the clips, the folds and the scores."""
    labelled = LabelledProject.read(whales.store, recipe)
    folds = make_folds(labelled.clips, labelled.recordings, split)
    data = replace(labelled.data, groups=folds.units)
    return labelled.clips, folds, cross_validate(data, folds, labelled.trainer(split))


def compare(whales: po.Project, split: po.Split) -> None:
    """Print both recipes under one split, and their paired difference."""
    right: dict[str, pd.DataFrame] = {}
    for name, recipe in RECIPES.items():
        clips, folds, said = scored(whales, recipe, split)
        right[name] = rightness(clips, said, folds.units)
        estimate, _ = balanced_accuracy(right[name])
        span = f"[{estimate.low:.2f}, {estimate.high:.2f}]"
        print(f"| {split.name} | {name} | {estimate.value:.3f} {span} |")
        if said.p_nothing is not None:
            print(f"  called nothing: {nothing_rates(said, folds)}")
    both = right["none"].merge(
        right["background"], on=["encounter", "label"], suffixes=("_none", "")
    )
    difference = paired_difference(
        {"background": both["right"].to_numpy(), "none": both["right_none"].to_numpy()},
        both["label"].to_numpy(dtype=object),
        both["unit"].to_numpy(dtype=object),
        model="background",
        controls=["none"],
        seed=0,
    )
    print(
        f"  background minus none: {difference.value:+.3f} [{difference.low:+.3f}, "
        f"{difference.high:+.3f}]"
    )


def counts(of: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in of.items())


def main() -> None:
    """Run every part and print one table each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--elsewhere", action="store_true", help="Ask the recorders never seen.")
    options = parser.parse_args()
    watkins = DATA / "watkins-odontocetes"
    with tempfile.TemporaryDirectory() as folder:
        whales = po.Project.create(
            Path(folder, "whales"), watkins, metadata=watkins / "metadata.csv", progress=False
        )
        began = time.monotonic()
        whales.embed(progress=False)
        print(f"embed: {time.monotonic() - began:.1f} s")
        for name in SPLITS:
            compare(whales, po.Split(name, n_repeats=3))
        for name, recipe in RECIPES.items():
            began = time.monotonic()
            whales.train(recipe, name=name, progress=False)
            print(f"train, {name}: {time.monotonic() - began:.1f} s")
        places = [DATA / "hydrophones" / other for other in OTHERS]
        places += [DATA / "elsewhere"] if options.elsewhere else []
        for place in places:
            for name in RECIPES:
                result = whales.predict(
                    place, name, set_name=f"{name} {place.name}", progress=False
                )
                print(f"| {place.name} | {name} | {counts(result.recordings_per_class)} |")
                if place.name == "elsewhere":
                    truth = result.recordings["path"].str.split("/").str[0]
                    print(pd.crosstab(truth, result.recordings["decision"]).to_string())


if __name__ == "__main__":
    main()
