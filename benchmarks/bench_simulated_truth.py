"""Does an evaluation tell the truth? Through the whole product, on surveys whose truth is known.

    python benchmarks/bench_simulated_truth.py [--seeds 3] [--keep FOLDER]

Three worlds: nothing to tell apart but encounters that are alike in themselves (leakage, which
splitting by encounter cures); nothing to tell apart but each population has its own recorder (a
confound, which no split cures); populations that differ. Each survey is simulated, scanned, embedded
by the network in the box, and evaluated by encounter and at random, as the verbs do. Printed:
balanced accuracy of clips and of encounters, mean over seeds with the lowest and highest.
"""

import argparse
import itertools
import tempfile
from pathlib import Path

import numpy as np

from pseudorca.embedding.embed import EmbedderOptions, embed_project
from pseudorca.evaluation.evaluate import evaluate_project
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.recipe import Recipe
from pseudorca.recordings.folds import Split
from pseudorca.recordings.manifest import ScanOptions
from pseudorca.recordings.scan import scan_project
from pseudorca.simulation import SurveyConfig, simulate_survey
from pseudorca.store import Store

SURVEY = {
    "n_clips": 480, "n_encounters": 16, "insular_clips": 0.3, "n_unknown_encounters": 0,
    "n_unknown_clips": 0, "max_channels": 1,
}  # fmt: skip
WORLDS = {
    "no effect, confound 0, signature 1": {
        "effect": 0.0, "confound": 0.0, "encounter_signature": 1.0, "n_clips": 800,
        "recorders": ("array_500k", "array_192k", "drifter_96k", "moored_24bit"),
    },
    "no effect, confound 1": {"effect": 0.0, "confound": 1.0, "encounter_signature": 0.7},
    "effect 3, confound 0": {
        "effect": 3.0, "confound": 0.0, "encounter_signature": 0.7, "recorders": ("array_500k",),
    },
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="folder that keeps surveys and projects")
    given = parser.parse_args()
    print("| world | random: clips | random: encounters | grouped: clips | grouped: encounters |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        for name, world in WORLDS.items():
            found = [
                measure((given.keep or Path(temporary)) / f"{k}-{seed}", world, seed)
                for k, seed in ((list(WORLDS).index(name), s) for s in range(given.seeds))
            ]
            columns = []
            for key in itertools.product(("random", "encounter"), ("clip", "encounter")):
                values = [result[key] for result in found]
                columns.append(f"{np.mean(values):.2f} [{min(values):.2f}, {max(values):.2f}]")
            print(f"| {name} | {' | '.join(columns)} |", flush=True)


def measure(folder: Path, world: dict, seed: int) -> dict[tuple[str, str], float]:
    """Balanced accuracies by (split, unit) of one survey."""
    if not (folder / "survey" / "truth" / "survey.json").exists():
        simulate_survey(folder / "survey", SurveyConfig(seed=seed, **(SURVEY | world)))
    store = Store(folder / "project", create=True)
    scan_project(store, folder / "survey" / "recordings", ScanOptions())
    embed_project(store, EmbedderOptions())
    splits = [Split("encounter", n_repeats=3), Split("random", n_repeats=3)]
    result = evaluate_project(store, Recipe(LogisticHead()), splits).as_json()
    return {(r["split"], r["unit"]): r["balanced_accuracy"] for r in result["results"]}


if __name__ == "__main__":
    main()
