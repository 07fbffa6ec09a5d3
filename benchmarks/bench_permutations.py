"""Permutation tests with and without fits side by side: CPU time, and whether the numbers are equal.

    python benchmarks/bench_permutations.py [--permutations 6] [--rounds 3]

The same made-up embeddings (1,024 dimensions, 10 clips an encounter; six classes and 34 encounters, as
Watkins, or two classes and 48 encounters, as the study's survey) go through ``permutation_test`` with
the logistic head, and with the same head fitted by scikit-learn (L-BFGS, one C after the other, each
from the last), as a user would write it. Rounds take turns; CPU seconds of the process, medians.
"""

import argparse
import statistics
import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from pseudorca.evaluation.inference import Permutations, permutation_test
from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.heads.base import (
    Balance,
    Head,
    LinearHead,
    classes_of,
    inner_sides,
    recording_weights,
    standardisation,
)
from pseudorca.learning.heads.logistic import C_GRID, LogisticHead
from pseudorca.recordings.folds import Split

SURVEYS = {"six classes, 34 encounters": (6, 34), "two classes, 48 encounters": (2, 48)}
N_CLIPS, N_DIMENSIONS = 10, 1024


@dataclass(frozen=True)
class ScikitHead(Head):
    """The logistic head, fitted by scikit-learn."""

    name: ClassVar[str] = "scikit"

    balance: Balance = "weights"
    seed: int = 0

    def fit(self, data: TrainingSet, *, validation: TrainingSet | None = None) -> LinearHead:
        losses = dict.fromkeys(C_GRID, 0.0)
        weights = recording_weights(data, "weights")
        for train, test in inner_sides(data, 3, self.seed):
            for c, head in path(data.take(train), C_GRID, self.balance).items():
                scores = head.log_probabilities(data.vectors[test])
                of_truth = [head.classes.index(label) for label in data.labels[test]]
                losses[c] -= weights[test] @ scores[np.arange(len(test)), of_truth]
        best = min(losses, key=losses.__getitem__)
        return path(data, [best], self.balance)[best]


def path(data: TrainingSet, grid: list[float], balance: Balance) -> dict[float, LinearHead]:
    """A head for each C, each fit from the last."""
    mean, scale = standardisation(data)
    standard, weights = (data.vectors - mean) / scale, recording_weights(data, balance)
    classes = classes_of(data.labels)
    found = LogisticRegression(warm_start=True, tol=1e-4, max_iter=1000)
    heads = {}
    for c in grid:
        found.set_params(C=c).fit(standard, data.labels.astype(str), sample_weight=weights)
        coefficients, bias = found.coef_, found.intercept_
        if len(classes) == 2:
            coefficients, bias = (
                np.vstack([-coefficients, coefficients]) / 2,
                np.append(-bias, bias) / 2,
            )
        heads[c] = LinearHead(classes, mean, scale, coefficients.copy(), bias.copy())
    return heads


def survey(n_classes: int, n_encounters: int) -> tuple[TrainingSet, pd.DataFrame, pd.DataFrame]:
    """Made-up embeddings: encounters differ more than classes do, and few directions vary most."""
    rng = np.random.default_rng(0)
    spread = np.geomspace(1.0, 0.02, N_DIMENSIONS)
    of_class = rng.normal(size=(n_classes, N_DIMENSIONS)) * spread * 0.4
    of_encounter = rng.normal(size=(n_encounters, N_DIMENSIONS)) * spread
    encounter = np.repeat(np.arange(n_encounters), N_CLIPS)
    number = encounter % n_classes
    noise = rng.normal(size=(len(encounter), N_DIMENSIONS)) * spread
    vectors = of_class[number] + of_encounter[encounter] + noise
    vectors = vectors @ np.linalg.qr(rng.normal(size=(N_DIMENSIONS, N_DIMENSIONS)))[0]
    ids = [f"c{k:04d}" for k in range(len(encounter))]
    names = [f"e{k:02d}" for k in encounter]
    labels = [f"class {k}" for k in number]
    clips = pd.DataFrame(
        {"clip_id": ids, "recording_id": ids, "moment_id": ids, "encounter": names, "label": labels}
    )
    columns = (clips[name].to_numpy(dtype=object) for name in ("label", "encounter", "moment_id"))
    return TrainingSet(vectors.astype(np.float32), *columns), clips, clips.assign(metadata="{}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--permutations", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print("| survey | scikit-learn, CPU s | side by side, CPU s | ratio | equal accuracies |")
    print("|---|---|---|---|---|")
    for name, shape in SURVEYS.items():
        data, clips, recordings = survey(*shape)
        heads = {"scikit": ScikitHead(), "own": LogisticHead()}
        took: dict[str, list[float]] = {kind: [] for kind in heads}
        tests: dict[str, Permutations] = {}
        for _ in range(arguments.rounds):
            for kind, head in heads.items():
                start = time.process_time()
                tests[kind] = permutation_test(
                    {"model": data}, clips, recordings, Split("encounter"), head,
                    n_permutations=arguments.permutations,
                )  # fmt: skip
                took[kind].append(time.process_time() - start)
        values = {
            kind: [test.observed["model"], *test.null["model"]] for kind, test in tests.items()
        }
        n_equal = int(np.isclose(values["scikit"], values["own"]).sum())
        ratios = [slow / fast for slow, fast in zip(took["scikit"], took["own"], strict=True)]
        slow, fast = (statistics.median(took[kind]) for kind in ("scikit", "own"))
        print(
            f"| {name} | {slow:.1f} | {fast:.1f} | {statistics.median(ratios):.1f} | "
            f"{n_equal} of {len(values['own'])} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
