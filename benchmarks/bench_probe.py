"""The network in the box under the linear probe of the field notes, beside its controls.

    python benchmarks/bench_probe.py [--data DATA] [--mobilenet WEIGHTS] [--weights FILE ...]
                                     [--mn04 WEIGHTS] [--splits grouped outing] [--keep FOLDER]
                                     [--json FILE]

Protocol as in ``bench_watkins_protocol.py``: 304 clips of six odontocete species (chance 0.167), 3 s
windows, frozen embeddings, standardised logistic regression with balanced classes and C by inner
grouped folds, mean log-probability per recording, recording-level balanced accuracy. Beside the
network: each of ``--weights`` (other seeds), the same architecture with random weights, no network
(mean and deviation over time of the levels), the mean spectrum, the sample rate alone, background
only (the quietest 0.15 s of each window, repeated), nothing above 9 kHz, MobileNetV2, and mn04_as
(EfficientAT, trained on AudioSet).
Intervals by resampling encounters within species, the same ones for both sides of a difference.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from bench_watkins_protocol import SPLITS, metadata_with_groups
from numpy.typing import NDArray
from safetensors.torch import save_file

from pseudorca.backbones import load_backbone, small_network
from pseudorca.embedding.embedder import Embedder
from pseudorca.embedding.stream import embed_clips
from pseudorca.frontends.base import Picture
from pseudorca.frontends.common import CommonFrontEnd, filter_weights
from pseudorca.frontends.registry import make_front_end
from pseudorca.learning.crossval import cross_validate
from pseudorca.learning.dataset import labelled_clips, make_training_set
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.recordings.bands import REACH
from pseudorca.recordings.clips import ClipOptions, clips_project
from pseudorca.recordings.folds import group_values, make_folds
from pseudorca.recordings.manifest import ScanOptions
from pseudorca.recordings.scan import scan_project
from pseudorca.store import Store

SHARED = Path(__file__).resolve().parents[2] / "shared"
QUIET_S = 0.15
N_BOOTSTRAP = 2000
TYPES = {"right": np.float64, "labels": np.str_, "groups": np.str_}  # of what is kept


def row_centres() -> NDArray[np.float64]:
    """Of the common front end's rows, in Hz."""
    own = CommonFrontEnd()
    return filter_weights(own.scale, own.n_rows, own.fmin_hz, own.fmax_hz, 1024, own.sample_rate)[1]


@dataclass(frozen=True)
class Background:
    """A front end that shows only the quietest moment of a clip, repeated to the clip's length."""

    front_end: CommonFrontEnd

    @property
    def sample_rate(self) -> int:
        return self.front_end.sample_rate

    def settings(self) -> dict[str, Any]:
        return self.front_end.settings() | {"name": "background"}

    def picture(self, waveform: Any, *, sample_rate: int) -> Picture:
        levels, n_reached = self.front_end.levels_db(waveform, sample_rate=sample_rate)
        n = max(1, round(QUIET_S * 1e3 / self.front_end.hop_ms))
        loudness = levels[:n_reached].mean(0)
        smooth = np.convolve(loudness, np.ones(n) / n, mode="valid")
        start = int(smooth.argmin())
        quiet = levels[:, start : start + n]
        wide = np.tile(quiet, (1, -(-levels.shape[1] // n)))[:, : levels.shape[1]]
        return self.front_end.colour(wide, n_reached)


@dataclass(frozen=True)
class Limited:
    """A front end that shows no recording more than the slower recorders could hold."""

    front_end: CommonFrontEnd
    top_hz: float = 9_000.0

    @property
    def sample_rate(self) -> int:
        return self.front_end.sample_rate

    def settings(self) -> dict[str, Any]:
        return self.front_end.settings() | {"name": "limited", "top_hz": self.top_hz}

    def picture(self, waveform: Any, *, sample_rate: int) -> Picture:
        levels, n_reached = self.front_end.levels_db(waveform, sample_rate=sample_rate)
        return self.front_end.colour(
            levels, min(n_reached, int((row_centres() < self.top_hz).sum()))
        )


class Statistics:
    """In place of an embedder: numbers of the levels, without a network."""

    device = "cpu"
    on_gpu = False

    def __init__(self, name: str, summary: Callable[[Any], Any], **settings: Any) -> None:
        self.front_end = CommonFrontEnd(colours="grey", **settings)
        self.embedder_id = name
        self.summary = summary

    def network_input(self, waveform: Any, *, sample_rate: int) -> Picture:
        return self.front_end.picture(waveform, sample_rate=sample_rate)

    def embed(self, pictures: list[Picture]) -> NDArray[np.float32]:
        rows = [self.summary(picture[::-1, :, 0].astype(np.float32)) for picture in pictures]
        return np.stack(rows).astype(np.float32)


class Reach(Statistics):
    """The sample rate alone: up to which row a recording reaches."""

    def network_input(self, waveform: Any, *, sample_rate: int) -> Picture:
        top_hz = min(REACH * sample_rate, self.front_end.fmax_hz)
        return np.full((1, 1, 3), round(255 * top_hz / self.front_end.fmax_hz), np.uint8)


@dataclass
class Scored:
    """Which recordings a network gets right: [shape=(n_repeats, n_recordings)], NaN if untested."""

    right: NDArray[np.float64]
    labels: NDArray[np.str_]
    groups: NDArray[np.str_]

    def accuracy(self, weights: NDArray[np.float64] | None = None) -> float:
        """Balanced accuracy, mean over repeats, recordings weighing as their encounter is drawn."""
        weights = np.ones(len(self.labels)) if weights is None else weights
        tested = ~np.isnan(self.right)
        right = np.nan_to_num(self.right)
        shares = []
        for label in np.unique(self.labels):
            own = weights * (self.labels == label)
            total = (tested * own).sum(1)
            if (total > 0).all():
                shares.append((right * own).sum(1) / total)
        return float(np.mean(shares))


def bootstrap_weights(scored: Scored) -> NDArray[np.float64]:
    """How often each recording's encounter is drawn [shape=(n_bootstrap, n_recordings)]."""
    rng = np.random.default_rng(0)
    weights = np.zeros((N_BOOTSTRAP, len(scored.labels)))
    for label in np.unique(scored.labels):
        own = np.flatnonzero(scored.labels == label)
        groups, codes = np.unique(scored.groups[own], return_inverse=True)
        n_groups = len(groups)
        drawn = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), N_BOOTSTRAP)
        weights[:, own] = drawn[:, codes]
    return weights


def score(store: Store, embedder_id: str, split_name: str) -> Scored:
    """Out-of-fold decisions per recording under one of the protocol's splits."""
    recordings = store.read("recordings")
    clips, _ = labelled_clips(store.read("clips"), recordings, store, embedder_id)
    split = SPLITS[split_name]
    folds = make_folds(clips, recordings, split)
    data = make_training_set(clips, recordings, store, embedder_id)
    data = replace(data, groups=data.recordings if split.is_optimistic else folds.units)
    scored = cross_validate(data, folds, LogisticHead())
    codes, names = pd.factorize(clips["recording_id"])
    firsts = np.array([int(np.flatnonzero(codes == k)[0]) for k in range(len(names))])
    sums = np.zeros((len(scored.log_probabilities), len(names), len(scored.classes)))
    for repeat, values in enumerate(scored.log_probabilities):
        np.add.at(sums[repeat], codes, values)  # a recording is tested whole, or not at all
    labels = data.labels[firsts]
    said = np.array(scored.classes, dtype=object)[np.nan_to_num(sums).argmax(2)]
    right = np.where(np.isnan(sums).any(2), np.nan, said == labels)
    groups = group_values(clips, recordings, "tape_group").to_numpy(dtype=object)[firsts]
    return Scored(right, labels, groups)


def random_weights(folder: Path, seed: int) -> Path:
    """A file of the same network, untrained."""
    torch.manual_seed(seed)
    network = small_network.SideBySide(small_network.NetworkConfig(), small_network.N_MEMBERS)
    path = folder / f"random_{seed}.safetensors"
    state = {k: v.contiguous() for k, v in network.state_dict().items() if k[:5] != "head."}
    save_file(state, path)
    return path


def whitened(levels: Any) -> Any:
    """Grey levels as decibels about the root mean square of the clip as a pre-emphasis leaves it.

    What is 45 dB below it, or out of the recording's reach, is no more than that.
    """
    own, centres_hz = CommonFrontEnd(**small_network.FRONT_END), row_centres()
    emphasis = np.abs(1 - 0.97 * np.exp(-2j * np.pi * centres_hz / 32_000)) ** 2
    weights = emphasis * np.gradient(centres_hz)
    power = 10 ** (levels * (own.range_db / 2550)) * (levels > 0) * weights[:, None]
    return 10 * np.log10(power / power[levels > 0].mean() + 10**-4.5)


def embedders(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """What is judged, by the name of its row."""
    own = CommonFrontEnd(**small_network.FRONT_END)

    def small(weights: str | Path, front_end: Any = own) -> Embedder:
        return Embedder(front_end, load_backbone("pseudorca_small", weights=weights))

    def mobilenet(front_end: Any) -> Embedder:
        return Embedder(front_end, load_backbone("mobilenet_v2_tf", weights=arguments.mobilenet))

    found: dict[str, Any] = {"pseudorca_small (shipped)": small("official")}
    found |= {f"seed: {path.stem}": small(path) for path in arguments.weights}
    found["random weights"] = small(random_weights(folder, 0))

    def mean_and_deviation(levels: Any) -> Any:
        return np.concatenate([levels.mean(1), levels.std(1)])

    def centred(levels: Any) -> Any:
        return levels - levels[levels > 0].mean()

    found["no network: mean and deviation"] = Statistics("mean_and_deviation", mean_and_deviation)
    found["no network: the same, centred"] = Statistics(
        "mean_and_deviation_centred", lambda x: mean_and_deviation(centred(x)), spread="range"
    )
    found["no network: the same, whitened"] = Statistics(
        "mean_and_deviation_whitened", lambda x: mean_and_deviation(whitened(x)), spread="range"
    )
    found["sample rate alone"] = Reach("sample_rate", lambda x: x.mean(1))
    found["mean spectrum, 32 bands"] = Statistics(
        "mean_spectrum", lambda x: x.mean(1).reshape(32, -1).mean(1)
    )
    found["background only"] = small("official", Background(own))
    found["nothing above 9 kHz"] = small("official", Limited(own))
    found["mn04_as"] = Embedder(
        make_front_end("efficientat"), load_backbone("mn04_as", weights=arguments.mn04)
    )
    found["MobileNetV2"] = mobilenet(CommonFrontEnd())
    found["MobileNetV2, background only"] = mobilenet(Background(CommonFrontEnd()))
    return found


def speed(embedder: Embedder, waveforms: list[NDArray[np.float32]]) -> tuple[float, float]:
    """Seconds per window on one thread, of picture and of network."""
    began = time.perf_counter()
    pictures = [embedder.network_input(wave, sample_rate=32_000) for wave in waveforms]
    drawn = time.perf_counter()
    embedder.embed(pictures)
    return (drawn - began) / len(waveforms), (time.perf_counter() - drawn) / len(waveforms)


def speed_table(mobilenet: str) -> dict[str, Any]:
    """Windows per second, front end included, the two networks taking turns."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    waveforms = [0.1 * rng.standard_normal(96_000).astype(np.float32) for _ in range(32)]
    own = CommonFrontEnd(**small_network.FRONT_END)
    both = {
        "pseudorca_small": Embedder(own, load_backbone("pseudorca_small")),
        "MobileNetV2": Embedder(
            CommonFrontEnd(), load_backbone("mobilenet_v2_tf", weights=mobilenet)
        ),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in both}
    for _ in range(8):  # the first warms up
        for name, embedder in both.items():
            times[name].append(speed(embedder, waveforms))
    middle = {name: np.median(np.array(values[1:]), 0) for name, values in times.items()}
    for name, (picture_s, network_s) in middle.items():
        print(
            f"{name}: {1 / (picture_s + network_s):.0f} windows/s on one thread "
            f"(picture {1e3 * picture_s:.1f} ms, network {1e3 * network_s:.1f} ms)"
        )
    ratio = float(middle["MobileNetV2"].sum() / middle["pseudorca_small"].sum())
    print(f"ratio: {ratio:.1f}", flush=True)
    return {name: value.tolist() for name, value in middle.items()} | {"ratio": ratio}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=SHARED / "data/watkins-odontocetes")
    parser.add_argument(
        "--mobilenet",
        default=str(SHARED / "weights/mobilenet_v2_imagenet1001_coral.safetensors"),
    )
    parser.add_argument("--mn04", type=Path, default=SHARED / "weights/mn04_as_mAP_432.pt")
    parser.add_argument("--weights", type=Path, nargs="*", default=[])
    parser.add_argument(
        "--splits", nargs="*", default=["random recordings", "grouped", "outing"], choices=SPLITS
    )
    parser.add_argument("--rows", nargs="*", help="only rows that begin so")
    parser.add_argument("--keep", type=Path, help="a folder; what it holds is not computed again")
    parser.add_argument("--no-speed", action="store_true")
    parser.add_argument("--speed-only", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result: dict[str, Any] = {}
    if not arguments.no_speed:
        result["speed"] = speed_table(arguments.mobilenet)
    if not arguments.speed_only:
        with tempfile.TemporaryDirectory() as folder:
            arguments.keep = arguments.keep or Path(folder)
            arguments.keep.mkdir(parents=True, exist_ok=True)
            result["probe"] = probe(arguments, Path(folder))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def probe(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Print and return the table."""
    store = Store(folder / "project", create=True)
    metadata = metadata_with_groups(arguments.data, folder)
    scan_project(store, arguments.data, ScanOptions(metadata=metadata))
    clips_project(store, ClipOptions(window_s=3.0, max_per_recording=10))
    recordings, clips = store.read("recordings"), store.read("clips")
    clips = clips[clips["label"].notna()].reset_index(drop=True)
    print("| | " + " | ".join(arguments.splits) + " |")
    print("|---" * (len(arguments.splits) + 1) + "|", flush=True)
    scored: dict[str, dict[str, Scored]] = {}
    table: dict[str, Any] = {}
    for name, embedder in embedders(arguments, folder).items():
        if arguments.rows and not name.startswith(tuple(arguments.rows)):
            continue
        scored[name] = {}
        for split in arguments.splits:
            kept = arguments.keep / f"{embedder.embedder_id}_{split.replace(' ', '_')}.npz"
            if not kept.exists():
                embed_clips(clips, recordings, embedder, store, n_threads=1)
                found = score(store, embedder.embedder_id, split)
                np.savez(
                    kept, **{key: value.astype(TYPES[key]) for key, value in vars(found).items()}
                )
            with np.load(kept) as arrays:
                scored[name][split] = Scored(**arrays)
        table[name] = {}
        for split, found in scored[name].items():
            drawn = np.array([found.accuracy(w) for w in bootstrap_weights(found)])
            low, high = np.quantile(drawn, [0.025, 0.975])
            table[name][split] = [found.accuracy(), float(low), float(high)]
        cells = [
            f"{value:.3f} [{low:.2f}, {high:.2f}]" for value, low, high in table[name].values()
        ]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    own = "pseudorca_small (shipped)"
    for other in scored:
        if other == own or own not in scored:
            continue
        differences = {}
        for split in arguments.splits:
            left, right = scored[own][split], scored[other][split]
            assert (left.labels == right.labels).all()
            drawn = np.array(
                [left.accuracy(w) - right.accuracy(w) for w in bootstrap_weights(left)]
            )
            low, high = np.quantile(drawn, [0.025, 0.975])
            differences[split] = [left.accuracy() - right.accuracy(), float(low), float(high)]
        table[f"difference to {other}"] = differences
        cells = [f"{v:+.3f} [{low:+.2f}, {high:+.2f}]" for v, low, high in differences.values()]
        print(f"| difference to {other} | " + " | ".join(cells) + " |", flush=True)
    return table


if __name__ == "__main__":
    main()
