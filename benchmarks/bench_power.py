"""Power study: do the intervals cover the truth, and does the permutation test keep its level?

    python benchmarks/bench_power.py statistics [--surveys 1000]   surveys of embeddings, appended
    python benchmarks/bench_power.py permutations [--surveys 250]  permutation tests, appended
    python benchmarks/bench_power.py probabilities [--surveys 160] calibrated surveys, appended
    python benchmarks/bench_power.py rules                         interval rules compared on them
    python benchmarks/bench_power.py                               all of these, in this order

Results are appended to ``benchmarks/results/power_*.csv`` survey by survey; a rerun goes on where
the last one ended, and a finished one only prints the tables.

Surveys are simulated as embeddings: population + recorder + encounter + clip effects, all normal, in
8 dimensions. Two populations, two recorders, 4 clips per encounter. Confound is the share of
encounters whose recorder is that of the population; the others have either. Classifier and folds are
the product's: logistic head, C from inner folds, 5 folds by encounter, 3 repeats. The truth of a
survey is the mean balanced accuracy by encounter of its own 15 fold classifiers on 1,000 fresh
encounters per class of the same generator, same recorders and confound included; beside it, the same
without the confound. For Brier score and log loss it is the mean loss of its own fold classifiers with
their fold calibrators on 400 fresh encounters per class, without confound.
"""

import argparse
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.special
import scipy.stats
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from pseudorca.evaluation.inference import permutation_test
from pseudorca.evaluation.intervals import interval, loss_interval
from pseudorca.learning.calibration import fit_calibrator
from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.heads.base import LinearHead
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.recordings.folds import Split, assign_folds

Rule = Callable[[str, str], tuple[float, float]]

RESULTS = Path(__file__).parent / "results"

N_DIMENSIONS = 8
N_CLIPS = 4
ENCOUNTER_SD = 1.0
CLIP_SD = 1.0
RECORDER_DISTANCE = 3.0
EFFECTS = {"none": 0.0, "weak": 1.5, "strong": 4.0}
"""Distance between the population centres."""
CONFOUNDS = (0.0, 0.5, 1.0)
SIZES = ((4, 4), (8, 8), (16, 16), (4, 28))
"""Encounters per class."""
N_FOLDS, N_REPEATS, N_FRESH = 5, 3, 1000
N_FRESH_LOSSES = 400
LOSSES = ("brier", "log_loss")
N_PERMUTATIONS = 39


@dataclass(frozen=True)
class Cell:
    effect: str
    confound: float
    n_first: int
    n_second: int

    @property
    def sizes(self) -> tuple[int, int]:
        return self.n_first, self.n_second


CELLS = [
    Cell(effect, confound, *sizes)
    for sizes, effect, confound in itertools.product(SIZES, EFFECTS, CONFOUNDS)
]


class Survey:
    """One survey's populations and recorders; encounters are drawn from it."""

    def __init__(self, cell: Cell, rng: np.random.Generator) -> None:
        def two_centres(distance: float) -> NDArray[np.float64]:
            direction = rng.standard_normal(N_DIMENSIONS)
            direction *= distance / 2 / np.linalg.norm(direction)
            return np.stack([-direction, direction])

        self.populations = two_centres(EFFECTS[cell.effect])
        self.recorders = two_centres(RECORDER_DISTANCE)
        self.rng = rng

    def centres(self, labels: NDArray[np.int64], confound: float) -> NDArray[np.float64]:
        """Encounters of these populations [shape=(n, N_DIMENSIONS)], before clips differ."""
        own = self.rng.random(len(labels)) < confound
        recorder = np.where(own, labels, self.rng.integers(2, size=len(labels)))
        noise = ENCOUNTER_SD * self.rng.standard_normal((len(labels), N_DIMENSIONS))
        return self.populations[labels] + self.recorders[recorder] + noise

    def clips(self, labels: NDArray[np.int64], confound: float) -> NDArray[np.float64]:
        """All clips [shape=(n * N_CLIPS, N_DIMENSIONS)], those of an encounter together."""
        centres = self.centres(labels, confound).repeat(N_CLIPS, axis=0)
        return centres + CLIP_SD * self.rng.standard_normal(centres.shape)

    def means(self, labels: NDArray[np.int64], confound: float) -> NDArray[np.float64]:
        """Mean over clips of each encounter: what decides it, the head being linear."""
        centres = self.centres(labels, confound)
        return centres + CLIP_SD / np.sqrt(N_CLIPS) * self.rng.standard_normal(centres.shape)


def training_set(vectors: NDArray[np.float64], labels: NDArray[np.int64]) -> TrainingSet:
    names = np.array(["A", "B"], dtype=object)[labels].repeat(N_CLIPS)
    encounters = np.array([f"E{i:02d}" for i in range(len(labels))], dtype=object).repeat(N_CLIPS)
    clips = np.array([f"r{i}" for i in range(len(names))], dtype=object)
    return TrainingSet(vectors.astype(np.float32), names, encounters, clips)


def one_survey(cell: Cell, number: int) -> dict[str, object]:
    """Cross-validate one survey; how often each encounter was named rightly, and the truth."""
    rng = np.random.default_rng([1, CELLS.index(cell), number])
    survey = Survey(cell, rng)
    labels = np.repeat([0, 1], cell.sizes)
    data = training_set(survey.clips(labels, cell.confound), labels)
    fresh_labels = np.repeat([0, 1], N_FRESH)
    fresh = survey.means(fresh_labels, cell.confound).astype(np.float32)
    unconfounded = survey.means(fresh_labels, 0.0).astype(np.float32)
    n_right = np.zeros(len(labels), dtype=int)
    truths: list[NDArray[np.float64]] = []
    for repeat in range(N_REPEATS):
        dealt = assign_folds(
            data.labels, data.groups, N_FOLDS, np.random.default_rng([number, repeat])
        )
        for fold in range(dealt.max() + 1):
            head = LogisticHead().fit(data.take(np.flatnonzero(dealt != fold)))
            rows = np.flatnonzero(dealt == fold)
            tested = rows[::N_CLIPS] // N_CLIPS  # encounters, since their clips stand together
            vectors = data.vectors[rows].reshape(-1, N_CLIPS, N_DIMENSIONS).mean(axis=1)
            said = head.log_probabilities(vectors).argmax(axis=1)
            n_right[tested] += said == labels[tested]
            shares = []
            for one in (fresh, unconfounded):
                right = head.log_probabilities(one).argmax(axis=1) == fresh_labels
                shares += [right[:N_FRESH].mean(), right[N_FRESH:].mean()]
            truths.append(np.array(shares))
    truth = np.mean(truths, axis=0)
    return {
        **vars(cell),
        "survey": number,
        # Encounters right in 0, 1, 2, 3 repeats.
        "first": " ".join(map(str, np.bincount(n_right[labels == 0], minlength=N_REPEATS + 1))),
        "second": " ".join(map(str, np.bincount(n_right[labels == 1], minlength=N_REPEATS + 1))),
        "truth_first": round(truth[0], 4),
        "truth_second": round(truth[1], 4),
        "unconfounded_first": round(truth[2], 4),
        "unconfounded_second": round(truth[3], 4),
    }


def one_permutation_test(cell: Cell, number: int) -> dict[str, object]:
    """Two feature sets of one survey without effect, tested alone and by their maximum."""
    rng = np.random.default_rng([2, CELLS.index(cell), number])
    labels = np.repeat([0, 1], cell.sizes)
    sets = {
        name: training_set(Survey(cell, rng).clips(labels, cell.confound), labels)
        for name in ("one", "other")
    }
    data = sets["one"]
    clips = pd.DataFrame(
        {
            "clip_id": data.recordings,
            "recording_id": data.recordings,
            "moment_id": data.recordings,
            "label": data.labels,
            "encounter": data.groups,
        }
    )
    recordings = pd.DataFrame(
        {
            "recording_id": data.recordings,
            "moment_id": data.recordings,
            "encounter": data.groups,
            "metadata": "{}",
        }
    )
    split = Split("encounter", n_folds=N_FOLDS, seed=number)
    found = permutation_test(
        sets, clips, recordings, split, LogisticHead(), n_permutations=N_PERMUTATIONS, seed=number
    )
    return {
        **vars(cell),
        "survey": number,
        "p_one": found.p_value("one"),
        "p_other": found.p_value("other"),
        "p_max": found.p_value_max(["one", "other"]),
    }


def one_probability_survey(cell: Cell, number: int) -> dict[str, object]:
    """Calibrate one survey out of fold; what each encounter's probabilities cost, and the truth."""
    rng = np.random.default_rng([3, CELLS.index(cell), number])
    survey = Survey(cell, rng)
    labels = np.repeat([0, 1], cell.sizes)
    data = training_set(survey.clips(labels, cell.confound), labels)
    fresh_labels = np.repeat([0, 1], N_FRESH_LOSSES)
    fresh = survey.clips(fresh_labels, cell.confound).astype(np.float32)
    names, encounters = data.labels[::N_CLIPS], data.groups[::N_CLIPS]
    n_moments = np.full(len(fresh_labels), N_CLIPS)
    mean, truth = np.zeros((2, len(labels))), np.zeros((2, 2))
    n_heads = 0
    for repeat in range(N_REPEATS):
        dealt = assign_folds(
            data.labels, data.groups, N_FOLDS, np.random.default_rng([number, repeat])
        )
        fold_of = dealt[::N_CLIPS]
        scores, scored_fresh = np.zeros((len(labels), 2)), []
        for fold in range(dealt.max() + 1):
            head = LogisticHead().fit(data.take(np.flatnonzero(dealt != fold)))
            scores[fold_of == fold] = by_encounter(head, data.vectors[dealt == fold])
            scored_fresh.append(by_encounter(head, fresh))
        for fold, of_fresh in enumerate(scored_fresh):
            test = fold_of == fold
            calibrator = fit_calibrator(
                scores[~test],
                n_moments[: (~test).sum()],
                names[~test],
                encounters[~test],
                ["A", "B"],
            )
            found = calibrator.log_probabilities(scores[test], n_moments[: test.sum()])
            mean[:, test] += losses(found, labels[test]) / N_REPEATS
            cost = losses(calibrator.log_probabilities(of_fresh, n_moments), fresh_labels)
            truth += cost.reshape(2, 2, N_FRESH_LOSSES).mean(axis=2)
            n_heads += 1
    row: dict[str, object] = {**vars(cell), "survey": number}
    for k, name in enumerate(LOSSES):
        for label, side in enumerate(("first", "second")):
            row[f"{name}_{side}"] = " ".join(f"{x:.4f}" for x in mean[k, labels == label])
            row[f"truth_{name}_{side}"] = round(truth[k, label] / n_heads, 4)
    return row


def by_encounter(head: LinearHead, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Log-probabilities of encounters whose clips stand together [shape=(n, 2)]."""
    means = head.log_probabilities(vectors).reshape(-1, N_CLIPS, 2).mean(axis=1)
    return np.asarray(scipy.special.log_softmax(means, axis=1))


def losses(
    log_probabilities: NDArray[np.float64], actual: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Brier score and log loss of each encounter [shape=(2, n)]."""
    off = np.exp(log_probabilities) - np.eye(2)[actual]
    return np.stack([(off**2).sum(axis=1), -log_probabilities[np.arange(len(actual)), actual]])


def append(
    path: Path,
    jobs: Iterable[tuple[Cell, int]],
    work: Callable[[Cell, int], dict[str, object]],
    flush_every: int = 20,
) -> None:
    """Do the jobs that the file does not hold yet, and append them."""
    path.parent.mkdir(exist_ok=True)
    done: set[tuple[object, ...]] = set()
    if path.exists():
        held = pd.read_csv(path)
        keys = ["effect", "confound", "n_first", "n_second", "survey"]
        done = set(held[keys].itertuples(index=False, name=None))
    rows: list[dict[str, object]] = []
    with threadpool_limits(1):
        for cell, number in jobs:
            if (*vars(cell).values(), number) in done:
                continue
            rows.append(work(cell, number))
            if len(rows) == flush_every:
                pd.DataFrame(rows).to_csv(path, mode="a", header=not path.exists(), index=False)
                rows = []
    if rows:
        pd.DataFrame(rows).to_csv(path, mode="a", header=not path.exists(), index=False)


def statistics(n_surveys: int) -> None:
    jobs = ((cell, number) for number in range(n_surveys) for cell in CELLS)
    append(RESULTS / "power_statistics.csv", jobs, one_survey)


def permutations(n_surveys: int) -> None:
    cells = [cell for cell in CELLS if cell.effect == "none" and cell.confound == 0]
    jobs = ((cell, number) for number in range(n_surveys) for cell in cells)
    append(RESULTS / "power_permutations.csv", jobs, one_permutation_test)


def probabilities(n_surveys: int) -> None:
    cells = [cell for cell in CELLS if cell.confound == 0]
    jobs = ((cell, number) for number in range(n_surveys) for cell in cells)
    append(RESULTS / "power_probabilities.csv", jobs, one_probability_survey)


def coverage_of_losses() -> pd.DataFrame:
    """How often the interval of Brier score and log loss holds the truth, by cell."""
    rows = []
    for row in pd.read_csv(RESULTS / "power_probabilities.csv").to_dict("records"):
        for name in LOSSES:
            sides = [
                np.array([float(x) for x in row[f"{name}_{side}"].split()])
                for side in ("first", "second")
            ]
            truth = (row[f"truth_{name}_first"] + row[f"truth_{name}_second"]) / 2
            labels = np.repeat(["A", "B"], [len(side) for side in sides]).astype(object)
            encounters = np.arange(len(labels)).astype(object)
            low, high, _ = loss_interval(
                np.concatenate(sides), labels, encounters, n_folds=N_FOLDS,
                highest=2.0 if name == "brier" else np.inf,
            )  # fmt: skip
            rng = np.random.default_rng(0)
            means = np.mean([rng.choice(side, (1000, len(side))).mean(1) for side in sides], axis=0)
            below, above = np.quantile(means, [0.025, 0.975])
            rows.append(
                {
                    "loss": name, "n_first": row["n_first"], "n_second": row["n_second"],
                    "effect": row["effect"], "in use": low <= truth <= high,
                    "bootstrap": below <= truth <= above, "width": high - low,
                    "width bootstrap": above - below, "n_surveys": 1,
                }
            )  # fmt: skip
    about = dict.fromkeys(("in use", "bootstrap"), "mean")
    about |= dict.fromkeys(("width", "width bootstrap"), "median")
    by_cell = pd.DataFrame(rows).groupby(["loss", "n_first", "n_second", "effect"], sort=False)
    return by_cell.agg(about | {"n_surveys": "sum"}).reset_index()


def coverage() -> pd.DataFrame:
    """How often each rule's interval holds the truth, by cell."""
    surveys = pd.read_csv(RESULTS / "power_statistics.csv")
    truth = (surveys["truth_first"] + surveys["truth_second"]) / 2
    gap = truth - (surveys["unconfounded_first"] + surveys["unconfounded_second"]) / 2
    cells = ["n_first", "n_second", "effect", "confound"]
    table = surveys[cells].assign(truth=truth, gap=gap, n_surveys=1)
    for name, rule in RULES.items():
        answer = cache(rule)  # most surveys end in a few outcomes
        bounds = np.array(
            [answer(*pair) for pair in zip(surveys["first"], surveys["second"], strict=True)]
        )
        # The truth has four decimals.
        table[name] = (bounds[:, 0] - 1e-4 <= truth) & (truth <= bounds[:, 1] + 1e-4)
        table[f"width {name}"] = bounds[:, 1] - bounds[:, 0]
    about: dict[str, str] = dict.fromkeys([c for c in table if c not in cells], "mean")
    return table.groupby(cells, sort=False).agg(about | {"n_surveys": "sum"}).reset_index()


def shares(text: str) -> NDArray[np.float64]:
    """How often each encounter of a class was right, from the counts kept."""
    counts = [int(n) for n in text.split()]
    return np.repeat(np.arange(len(counts)) / (len(counts) - 1), counts)


def in_use(first: str, second: str) -> tuple[float, float]:
    right = [shares(first), shares(second)]
    actual = np.repeat([0, 1], [len(one) for one in right])
    names = np.arange(len(actual)).astype(str).astype(object)
    return interval(np.concatenate(right), actual, names, 2)[:2]


def resampled(first: str, second: str) -> tuple[float, float]:
    """Percentile bootstrap of the encounters within each class."""
    rng = np.random.default_rng(0)
    means = [rng.choice(one, (1000, len(one))).mean(1) for one in map(shares, (first, second))]
    low, high = np.quantile(np.mean(means, axis=0), [0.025, 0.975])
    return float(low), float(high)


def former(first: str, second: str) -> tuple[float, float]:
    """The rule of the first release: exact below 10 encounters, or all right or wrong."""
    both = [shares(first), shares(second)]
    few = min(map(len, both)) < 10 or any(one.mean() in (0, 1) for one in both)
    return combined(clopper_pearson)(first, second) if few else resampled(first, second)


def combined(method: Callable[[float, int], tuple[float, float]]) -> Rule:
    """An interval for each class's recall, combined as the rule in use does."""

    def rule(first: str, second: str) -> tuple[float, float]:
        both = [(one.mean(), *method(one.mean(), len(one))) for one in map(shares, (first, second))]
        recall, low, high = np.array(both).T
        return (
            float(recall.mean() - np.sqrt(np.sum((recall - low) ** 2)) / 2),
            float(recall.mean() + np.sqrt(np.sum((high - recall) ** 2)) / 2),
        )

    return rule


def clopper_pearson(recall: float, n: int) -> tuple[float, float]:
    n_right, n_wrong = recall * n, (1 - recall) * n
    low = scipy.stats.beta.ppf(0.025, n_right, n_wrong + 1) if recall > 0 else 0.0
    return low, (scipy.stats.beta.ppf(0.975, n_right + 1, n_wrong) if recall < 1 else 1.0)


def jeffreys(recall: float, n: int) -> tuple[float, float]:
    low, high = scipy.stats.beta.ppf([0.025, 0.975], recall * n + 0.5, (1 - recall) * n + 0.5)
    return (0.0 if recall == 0 else low), (1.0 if recall == 1 else high)


def wilson(recall: float, n: int) -> tuple[float, float]:
    z = scipy.stats.norm.ppf(0.975)
    centre = (recall + z**2 / 2 / n) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(recall * (1 - recall) / n + z**2 / 4 / n**2)
    return centre - half, centre + half


RULES: dict[str, Rule] = {
    "in use": in_use,
    "former": former,
    "bootstrap": resampled,
    "exact": combined(clopper_pearson),
    "Jeffreys": combined(jeffreys),
    "Wilson": combined(wilson),
}


def rejections() -> pd.DataFrame:
    """How often the permutation test rejects at 0.05 where there is nothing, with bounds."""
    tests = pd.read_csv(RESULTS / "power_permutations.csv")
    rows = []
    for sizes, mine in [*tests.groupby(["n_first", "n_second"], sort=False), ("all", tests)]:
        for name in ("p_one", "p_other", "p_max"):
            n_rejected = int((mine[name] <= 0.05).sum())
            bounds = scipy.stats.binomtest(n_rejected, len(mine)).proportion_ci(method="exact")
            rows.append(
                {
                    "encounters": sizes,
                    "statistic": name,
                    "surveys": len(mine),
                    "rejected": n_rejected / len(mine),
                    "low": bounds.low,
                    "high": bounds.high,
                }
            )
    return pd.DataFrame(rows)


def report() -> None:
    table = coverage()
    table.round(4).to_csv(RESULTS / "power_coverage.csv", index=False)
    print(table[[c for c in table if not c.startswith("width")]].round(3).to_string(index=False))
    by_size = table.groupby(["n_first", "n_second"], sort=False)
    print(by_size[[c for c in table if c.startswith("width")]].mean().round(2).to_string())
    print(table[list(RULES)].agg(["min", "mean", "max"]).round(3).to_string())
    print(rejections().round(3).to_string(index=False))
    table = coverage_of_losses()
    print(table.round(3).to_string(index=False))
    print(table.groupby("loss")[["in use", "bootstrap"]].agg(["min", "mean", "max"]).round(3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "part", nargs="?", choices=("statistics", "permutations", "probabilities", "rules")
    )
    parser.add_argument("--surveys", type=int, help="per cell")
    options = parser.parse_args()
    if options.part in (None, "statistics"):
        statistics(options.surveys or 1000)
    if options.part in (None, "permutations"):
        permutations(options.surveys or 250)
    if options.part in (None, "probabilities"):
        probabilities(options.surveys or 160)
    if options.part in (None, "rules"):
        report()


if __name__ == "__main__":
    main()
