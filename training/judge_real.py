"""Choose between networks on real recordings without looking at what they are judged on.

    python training/judge_real.py CACHE NAME=RUN,RUN,... [NAME=RUN+RUN,...] [--nested]

A candidate is a recipe: its runs (seeds), separated by commas; ``+`` puts networks side by side. Each
outer training side of the linear probe of the field notes (see ``benchmarks/bench_probe.py``) is cut
into two inner folds by tape, twice. What is printed: each candidate's score there. With ``--nested``,
the candidate that is best in a side's inner folds, as the mean over its seeds, is judged on the outer
test side: how often each was chosen, and the only score that looks at test sides. All are
recording-level balanced accuracies (chance 0.167), logistic regression with C = 0.01.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from simulated import front_end
from train_network import load_run

from pseudorca.embedding.stream import embed_clips
from pseudorca.learning.dataset import TrainingSet, make_training_set
from pseudorca.learning.heads.base import one_blas_thread
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.recordings.clips import ClipOptions, clips_project
from pseudorca.recordings.folds import Folds, assign_folds, make_folds
from pseudorca.recordings.manifest import ScanOptions
from pseudorca.recordings.scan import scan_project
from pseudorca.store import Store

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from bench_watkins_protocol import SHARED, SPLITS, metadata_with_groups

N_ROWS = 128
INNER_REPEATS = 2

Rows = NDArray[np.int64]


class Pictures:
    """In place of an embedder: the pictures themselves."""

    embedder_id = "pictures"
    device = "cpu"
    on_gpu = False

    def __init__(self) -> None:
        self.front_end = front_end()

    def network_input(self, waveform: Any, *, sample_rate: int) -> Any:
        return self.front_end.picture(waveform, sample_rate=sample_rate)

    def embed(self, pictures: list[Any]) -> Any:
        return np.stack([one[:, :, 0].ravel() for one in pictures]).astype(np.float32)


def real_windows(cache: Path, data: Path, split: str) -> tuple[torch.Tensor, TrainingSet, Folds]:
    """The recordings' pictures [shape=(n, 1, n_rows, n_frames)] in [0, 1], with labels and folds."""
    store = Store(cache / "real", create=True)
    embedder: Any = Pictures()
    if not store.read("clips").shape[0]:
        metadata = metadata_with_groups(data, cache)
        scan_project(store, data, ScanOptions(metadata=metadata))
        clips_project(store, ClipOptions(window_s=3.0, max_per_recording=10))
    recordings, clips = store.read("recordings"), store.read("clips")
    clips = clips[clips["label"].notna()].reset_index(drop=True)
    embed_clips(clips, recordings, embedder, store, n_threads=1)
    folds = make_folds(clips, recordings, SPLITS[split])
    kept = make_training_set(clips, recordings, store, embedder.embedder_id)
    pictures = torch.from_numpy(kept.vectors / 255).view(len(clips), 1, N_ROWS, -1)
    return (
        pictures,
        TrainingSet(kept.vectors[:, :0], kept.labels, folds.units, kept.recordings),
        folds,
    )


def embedded(runs: list[Path], pictures: torch.Tensor) -> NDArray[np.float32]:
    """Embeddings by networks side by side."""
    parts = []
    with torch.inference_mode():
        for network in map(load_run, runs):
            batches = [network.pool(network.maps(part)) for part in pictures.split(32)]
            parts.append(torch.cat(batches))
    return torch.cat(parts, 1).numpy()


class Judge:
    """Inner and outer scores of embeddings."""

    def __init__(self, windows: TrainingSet, folds: Folds) -> None:
        self.windows = windows
        self.classes = np.unique(windows.labels.astype(str))
        self.truth = np.searchsorted(self.classes, windows.labels.astype(str))
        self.recording = np.unique(windows.recordings.astype(str), return_inverse=True)[1]
        self.rounds = []
        for repeat, fold, train, test in folds:
            side = windows.take(train)
            inner = [
                assign_folds(side.labels, side.groups, 2, np.random.default_rng([repeat, fold, k]))
                for k in range(INNER_REPEATS)
            ]
            self.rounds.append((repeat, train, test, inner))

    def scores(self, vectors: NDArray[np.float32], train: Rows, test: Rows) -> NDArray[np.float64]:
        """Log-probabilities of test rows by a head that learned from the others."""
        told = TrainingSet(
            vectors, self.windows.labels, self.windows.groups, self.windows.recordings
        )
        head = LogisticHead(c=1e-2).fit(told.take(train))
        found = np.full((len(test), len(self.classes)), -1e3)  # a class without training rows
        found[:, np.searchsorted(self.classes, head.classes)] = head.log_probabilities(
            vectors[test]
        )
        return found

    def accuracy(self, rows: Rows, scores: NDArray[np.float64]) -> float:
        """Balanced accuracy over the recordings of these rows."""
        sums = np.zeros((self.recording.max() + 1, len(self.classes)))
        np.add.at(sums, self.recording[rows], scores)
        there, first = np.unique(self.recording[rows], return_index=True)
        truth, said = self.truth[rows][first], sums[there].argmax(1)
        return float(np.mean([(said[truth == k] == k).mean() for k in np.unique(truth)]))

    def inner(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Score inside each outer training side [shape=(n_rounds,)]."""
        found = []
        for _, train, _, inner in self.rounds:
            values = []
            for assigned in inner:
                sides = [(train[assigned != k], train[assigned == k]) for k in (0, 1)]
                rows = np.concatenate([test for _, test in sides])
                scores = [self.scores(vectors, learn, test) for learn, test in sides]
                values.append(self.accuracy(rows, np.concatenate(scores)))
            found.append(np.mean(values))
        return np.array(found)

    def nested(self, chosen: list[NDArray[np.float32]]) -> float:
        """Score on the outer test sides of the embedding chosen in each round, mean over repeats."""
        sides: dict[int, list[tuple[Rows, NDArray[np.float64]]]] = {}
        for (repeat, train, test, _), vectors in zip(self.rounds, chosen, strict=True):
            sides.setdefault(repeat, []).append((test, self.scores(vectors, train, test)))
        return float(
            np.mean(
                [
                    self.accuracy(*(np.concatenate(part) for part in zip(*found, strict=True)))
                    for found in sides.values()
                ]
            )
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cache", type=Path, help="a folder that keeps the pictures")
    parser.add_argument("candidates", nargs="+", metavar="NAME=RUN,RUN+RUN,...")
    parser.add_argument("--nested", action="store_true", help="look at the outer test sides, too")
    parser.add_argument("--split", default="grouped", choices=("grouped", "outing"))
    parser.add_argument("--data", type=Path, default=SHARED / "data/watkins-odontocetes")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pictures, windows, folds = real_windows(arguments.cache, arguments.data, arguments.split)
    judge = Judge(windows, folds)
    vectors, inner = {}, {}
    with one_blas_thread():
        for text in arguments.candidates:
            name, _, seeds = text.partition("=")
            members = [[Path(run) for run in seed.split("+")] for seed in seeds.split(",")]
            vectors[name] = [embedded(runs, pictures) for runs in members]
            each = np.array([judge.inner(one) for one in vectors[name]])
            inner[name] = each.mean(0)
            shown = ", ".join(f"{value:.3f}" for value in each.mean(1))
            print(f"{name}: inner {inner[name].mean():.3f} (seeds {shown})", flush=True)
        if not arguments.nested:
            return
        names = list(inner)
        best = [names[k] for k in np.stack([inner[name] for name in names]).argmax(0)]
        n_seeds = max(len(found) for found in vectors.values())
        scores = [
            judge.nested([vectors[name][seed % len(vectors[name])] for name in best])
            for seed in range(n_seeds)
        ]
    print(f"chosen: {dict(Counter(best))}")
    shown = ", ".join(f"{value:.3f}" for value in scores)
    print(f"nested: {np.mean(scores):.3f} (seeds {shown})")


if __name__ == "__main__":
    main()
