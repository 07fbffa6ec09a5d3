"""How much faster the study is repeated than it was done, measured in pieces and added up.

Run ``python benchmarks/bench_reproduce.py``. The study's way, written here: a PNG file per clip by
Matplotlib, then for each of sixteen trainings and each of 24 epochs every training and validation
picture through torchvision's ``ImageFolder`` and the whole network, in batches of 64. Then
``reproduce``: each picture computed, and once through each network; the sixteen trainings, and the
told-straight column, on kept embeddings. Pieces are timed on a subset, the two ways taking turns, and
extrapolated to the study's 3,281 clips; the arithmetic is printed. Weights are random: time does not
depend on their values. Times are of the processor, on one thread and without a GPU, so that a busy
machine disturbs neither; on two cores both ways take half as long at best (the study's plots and its
reading of pictures run on one core, so halving them flatters it).
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import scipy.signal
import soundfile as sf
import torch
import torchvision
from torchvision import transforms

from pseudorca.backbones import load_backbone
from pseudorca.embedding.embedder import Embedder
from pseudorca.frontends.study_picture import StudyFrontEnd
from pseudorca.learning.crossval import cross_validate
from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.heads.softmax import SoftmaxHead
from pseudorca.recordings import audio
from pseudorca.recordings.folds import Split, make_folds
from pseudorca.study.networks import ADAPTING_BATCHES, BATCH
from pseudorca.study.published import NETWORKS
from pseudorca.study.reproduce import reproduce
from pseudorca.study.settings import StudyOptions
from pseudorca.study.straight import ChosenSoftmaxHead
from pseudorca.study.training import FrozenNetwork, train

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd

RATE = 500_000
N_STUDY = 3281
EPOCHS = 24
SHARE_TRAINING, SHARE_VALIDATION = 0.6, 0.2
TUNED, N_TUNED, N_TRAININGS = NETWORKS[0], 13, 16
N_RETRAINED = 5  # switches that, turned off, change the tuned network's trainings
SIZES = {"efficientnet_v2_s": 384}
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def write_clips(folder: Path, n: int) -> list[Path]:
    """One-second clips at the survey's rate, one in eight Insular."""
    rng = np.random.default_rng(0)
    time_s = np.arange(RATE) / RATE
    paths = []
    for k in range(n):
        label = "Insular" if k % 8 == 0 else "Pelagic"
        sound = 0.05 * rng.standard_normal(RATE) + 0.2 * np.sin(
            2 * np.pi * (5000 + 20 * k) * time_s
        )
        path = folder / "wav" / label / f"Lasker_AC_{k // 4}{label[0]}" / f"{k:04d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, sound, RATE, subtype="PCM_16")
        paths.append(path)
    return paths


def plotted(path: Path, folder: Path) -> None:
    """The study's picture: read, spectrogram, Matplotlib, PNG."""
    samples, rate = sf.read(path)
    frequencies, times, power = scipy.signal.spectrogram(samples, rate)
    plt.figure(figsize=(12, 8))
    plt.pcolormesh(times, frequencies, np.log(power), cmap="viridis")
    plt.xticks([])
    plt.yticks([])
    target = folder / "png" / path.parts[-3] / f"{path.stem}.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    plt.savefig(target, dpi=100)
    plt.close()


def study_network(name: str) -> torch.nn.Module:
    """A network as the study built it: all frozen but a new last layer, left in training mode."""
    arguments: dict[str, Any] = (
        {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    )
    network = torchvision.models.get_model(name, weights=None, **arguments)
    for parameter in network.parameters():
        parameter.requires_grad = False
    if name == "densenet121":
        network.classifier = torch.nn.Linear(network.classifier.in_features, 2)
    elif name == "efficientnet_v2_s":
        network.classifier[1] = torch.nn.Linear(network.classifier[1].in_features, 2)
    else:
        network.fc = torch.nn.Linear(network.fc.in_features, 2)
    return network


def study_epoch(name: str, folder: Path) -> dict[str, float]:
    """Seconds per picture of one epoch: trained on, and validated on."""
    size = SIZES.get(name, 224)
    prepare = transforms.Compose(
        [transforms.Resize((size, size)), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    )
    data = torchvision.datasets.ImageFolder(folder / "png", prepare)
    loader = torch.utils.data.DataLoader(data, batch_size=BATCH, shuffle=True)
    network = study_network(name)
    learned = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(learned, lr=0.001, momentum=0.9)
    loss_of = torch.nn.CrossEntropyLoss()
    network.train()
    start = time.process_time()
    for pictures, labels in loader:
        optimiser.zero_grad()
        loss = loss_of(network(pictures), labels)
        loss.backward()
        optimiser.step()
    trained = time.process_time() - start
    network.eval()
    start = time.process_time()
    with torch.no_grad():
        for pictures, labels in loader:
            loss_of(network(pictures), labels)
    return {
        "training": trained / len(data),
        "validation": (time.process_time() - start) / len(data),
    }


def reproduce_pass(name: str, paths: list[Path], weights: Path) -> float:
    """Seconds per clip: read, computed picture, one pass through the network."""
    embedder = Embedder(StudyFrontEnd(), load_backbone(name, weights=weights), "cpu")
    embedder.embed([np.zeros((SIZES.get(name, 224),) * 2 + (3,), np.uint8)])
    start = time.process_time()
    for first in range(0, len(paths), 32):
        pictures = []
        for path in paths[first : first + 32]:
            waveform = audio.read_segment(path).mean(axis=0)
            pictures.append(embedder.network_input(waveform, sample_rate=RATE))
        embedder.embed(pictures)
    return (time.process_time() - start) / len(paths)


def weights_file(name: str, folder: Path) -> Path:
    arguments = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    state = torchvision.models.get_model(name, weights=None, **arguments).state_dict()
    path = folder / f"{name}.pth"
    torch.save(state, path)
    return path


def heads(n_clips: int) -> dict[str, float]:
    """Seconds of both columns' trainings on kept embeddings of the whole study."""
    rng = np.random.default_rng(0)
    n_encounters = 40
    labels = np.where(np.arange(n_clips) % 8 == 0, "Insular", "Pelagic").astype(object)
    encounters = np.array(
        [f"{label}{rng.integers(n_encounters // 2)}" for label in labels], dtype=object
    )
    vectors = rng.standard_normal((n_clips, 512)).astype(np.float32)
    truth = (labels == "Pelagic").astype(np.int64)
    order = rng.permutation(n_clips)
    n_training, n_validation = round(SHARE_TRAINING * n_clips), round(SHARE_VALIDATION * n_clips)
    training = order[:n_training]
    validation = order[n_training : n_training + n_validation]
    start = time.process_time()
    for _ in range(N_TRAININGS):
        train(
            FrozenNetwork(vectors, "x"),
            truth,
            2,
            training,
            validation,
            SoftmaxHead(balance="sampler"),
        )
    published = time.process_time() - start
    ids = np.arange(n_clips).astype(str)
    clips = pd.DataFrame({
        "clip_id": ids, "recording_id": ids, "moment_id": ids, "label": labels,
        "encounter": encounters,
    })  # fmt: skip
    recordings = pd.DataFrame({
        "recording_id": ids, "moment_id": ids, "encounter": encounters, "metadata": "{}",
    })  # fmt: skip
    folds = make_folds(clips, recordings, Split("encounter", 5, 1))
    data = TrainingSet(vectors, labels, folds.units, ids.astype(object))
    start = time.process_time()
    cross_validate(data, folds, SoftmaxHead(balance="sampler"))
    one = time.process_time() - start
    start = time.process_time()
    nested = ChosenSoftmaxHead(rates=(0.001,), momenta=(0.9,), balance="sampler")
    cross_validate(data, folds, nested)
    two = time.process_time() - start  # a rate and a momentum
    settings = len(NETWORKS) + 1 + 6 + 4
    return {
        "as published": published,
        "switches": N_RETRAINED * (N_TUNED - 1) / N_TRAININGS * published,
        "told straight": 3 * (settings * one + 5 * two),
    }


def second_run(folder: Path, weights: Path) -> float:
    """Seconds of a run that finds everything kept: reading, drawing the report."""
    options = StudyOptions(backbones=(TUNED,), weights={TUNED: str(weights)}, n_epochs=2)
    reproduce(folder / "wav", folder / "out", options)
    start = time.process_time()
    reproduce(folder / "wav", folder / "out", options)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_clips(folder, options.clips)
        start = time.process_time()
        for path in paths:
            plotted(path, folder)
        png_s = (time.process_time() - start) / len(paths)
        print(
            f"{options.clips} clips of 1 s at 500 kHz, medians of {options.rounds} rounds, seconds of "
            "processor time, one thread."
        )
        print(f"Matplotlib PNG: {png_s:.3f} s a clip\n")
        print(
            f"{'network':20s}{'study: trained on':>20s}{'validated on':>15s}{'reproduce, a pass':>20s}"
        )
        study: dict[str, dict[str, float]] = {}
        passed: dict[str, float] = {}
        for network in NETWORKS:
            file = weights_file(network, folder)
            rounds = [
                (study_epoch(network, folder), reproduce_pass(network, paths, file))
                for _ in range(options.rounds)
            ]
            study[network] = {
                key: statistics.median(one[key] for one, _ in rounds)
                for key in ("training", "validation")
            }
            passed[network] = statistics.median(one for _, one in rounds)
            told = study[network]
            print(
                f"{network:20s}{told['training']:17.3f} s{told['validation']:13.3f} s"
                f"{passed[network]:18.3f} s",
                flush=True,
            )
        kept = heads(N_STUDY)
        kept["report"] = second_run(folder, weights_file(TUNED, folder))
    add_up(png_s, study, passed, kept)


def add_up(
    png_s: float,
    study: dict[str, dict[str, float]],
    passed: dict[str, float],
    kept: dict[str, float],
) -> None:
    """Add the pieces up for the whole study, and print the arithmetic."""
    n = N_STUDY

    def training_s(network: str) -> float:
        one = study[network]
        return (
            EPOCHS * n * (SHARE_TRAINING * one["training"] + SHARE_VALIDATION * one["validation"])
        )

    others = [network for network in NETWORKS if network != TUNED]
    png, tuned = png_s * n, N_TUNED * training_s(TUNED)
    rest = sum(training_s(network) for network in others)
    whole = png + tuned + rest
    ceiling = sum(passed.values()) * n
    adapting = min(n, BATCH * ADAPTING_BATCHES)
    # Told straight: tight pictures once. As published: wide ones once more, and a part of them to
    # adapt the statistics; the tuned network also without either of these switches.
    both = sum(s * (2 * n + adapting) for s in passed.values())
    both += passed[TUNED] * (2 * n + adapting)
    heads_s = sum(kept.values()) + kept["report"]  # the report is drawn on one core
    print(f"\nThe study, {n} clips: PNG {png_s:.3f} s x {n} = {png / 3600:.2f} h")
    print(
        f"  {TUNED}: {N_TUNED} trainings x {EPOCHS} epochs x {n} x (0.6 x "
        f"{study[TUNED]['training']:.3f} + 0.2 x {study[TUNED]['validation']:.3f}) s = "
        f"{tuned / 3600:.1f} h"
    )
    for network in others:
        print(f"  {network}: 1 training = {training_s(network) / 3600:.1f} h")
    print(f"  together {whole / 3600:.1f} h")
    print(
        f"reproduce: one pass through four networks (the ceiling) {ceiling / 60:.1f} min; trainings "
        f"on kept embeddings: as published {kept['as published']:.0f} s (16) and "
        f"{kept['switches']:.0f} s (each switch off), told straight {kept['told straight']:.0f} s; "
        f"reading and drawing the report {kept['report']:.0f} s"
    )
    rows = [
        ("audio to report, both columns, all switches", whole, both + heads_s),
        ("the same without wide-margins and training-mode", whole, ceiling + heads_s),
        ("ceiling: one pass through four networks", whole, ceiling),
        (f"{TUNED} part (13 trainings), with the report", png + tuned, passed[TUNED] * n + heads_s),
        ("once embedded: both columns and the report", whole, heads_s),
    ]
    print("\nOn two cores (half of the processor time):")
    print(f"{'':52s}{'study':>10s}{'reproduce':>12s}{'ratio':>8s}")
    for what, slow, fast in rows:
        print(f"{what:52s}{slow / 7200:8.1f} h{fast / 120:9.1f} min{slow / fast:7.0f}x")


if __name__ == "__main__":
    main()
