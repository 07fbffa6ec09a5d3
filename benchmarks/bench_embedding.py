"""Embedding throughput against the bare network, and where the time of a clip goes.

    python benchmarks/bench_embedding.py [--clips 192] [--rounds 5] [--backbones resnet18,mobilenet_v2]

Bare: the same network and memory format on random tensors, batches of 32, all threads. Ours: WAV
files on disk to committed embeddings, through the code that the command line runs. Both take turns
in one process; medians of the rounds. Weights are random numbers: speed does not depend on them.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile as sf
import torch
import torchvision
from safetensors.torch import save_file

from pseudorca.backbones import load_backbone
from pseudorca.embedding.drawing import read_clip
from pseudorca.embedding.embedder import Embedder
from pseudorca.embedding.stream import embed_clips
from pseudorca.frontends.base import resample
from pseudorca.frontends.common import CommonFrontEnd
from pseudorca.recordings import audio
from pseudorca.recordings.clips import ClipOptions, cut
from pseudorca.recordings.manifest import full_path, scan
from pseudorca.store import Store

RATE = 96_000
WINDOW_S = 3.0
BATCH = 32


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def make_recordings(folder: Path, n_clips: int) -> None:
    """Two classes of 16-bit mono files of 30 s each: noise with a tone, as hydrophones give."""
    rng = np.random.default_rng(0)
    per_file = 10
    for k in range(-(-n_clips // per_file)):
        n = round(per_file * WINDOW_S * RATE)
        tone = 0.2 * np.sin(2 * np.pi * (4_000 + 100 * k) * np.arange(n) / RATE)
        path = folder / "AB"[k % 2] / f"day{k}"
        path.mkdir(parents=True)
        sf.write(path / "x.wav", tone + 0.05 * rng.standard_normal(n), RATE, subtype="PCM_16")


def stage_costs(clips, recordings, embedder: Embedder) -> dict[str, float]:
    """Median milliseconds a clip, one thread, each stage alone."""
    found: dict[str, list[float]] = {"decode": [], "resample": [], "spectrogram, picture": []}
    by_id = {row.recording_id: row for row in recordings.itertuples()}
    for clip in list(clips.itertuples())[:60]:
        start = time.perf_counter()
        with audio.Reader(full_path(by_id[clip.recording_id])) as reader:
            waveform = read_clip(reader, clip)
        decoded = time.perf_counter()
        low = resample(waveform, RATE, embedder.front_end.sample_rate)
        resampled = time.perf_counter()
        embedder.network_input(low, sample_rate=embedder.front_end.sample_rate)
        drawn = time.perf_counter()
        found["decode"].append(decoded - start)
        found["resample"].append(resampled - decoded)
        found["spectrogram, picture"].append(drawn - resampled)
    return {stage: 1e3 * statistics.median(times) for stage, times in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=192)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backbones", default="resnet18,mobilenet_v2")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print("| network | bare, clips/s | embed, clips/s | share of bare | decode | resample |"
          " spectrogram, picture | network |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_recordings(folder / "data", arguments.clips)
        recordings = scan(folder / "data").recordings
        clips = cut(recordings, ClipOptions())[0].iloc[: arguments.clips]
        for backbone_name in arguments.backbones.split(","):
            torch.manual_seed(0)
            network = torchvision.models.get_model(backbone_name, weights=None)
            weights = folder / f"{backbone_name}.safetensors"
            save_file(network.state_dict(), weights)
            embedder = Embedder(CommonFrontEnd(), load_backbone(backbone_name, weights=weights))
            size = embedder.backbone.input_size
            batch = torch.randn(BATCH, 3, size, size).contiguous(memory_format=torch.channels_last)

            def bare(embedder: Embedder = embedder, batch: torch.Tensor = batch) -> None:
                with torch.inference_mode():
                    for _ in range(arguments.clips // BATCH):
                        embedder.backbone.embed(batch)

            def ours(embedder: Embedder = embedder) -> None:
                store = Store(folder / f"project{time.monotonic_ns()}", create=True)
                embed_clips(clips, recordings, embedder, store)

            bare()
            ours()
            times: dict[str, list[float]] = {"bare": [], "ours": []}
            for _ in range(arguments.rounds):
                times["bare"].append(seconds(bare))
                times["ours"].append(seconds(ours))
            n_bare = arguments.clips // BATCH * BATCH
            speed = [
                n_bare / statistics.median(times["bare"]),
                len(clips) / statistics.median(times["ours"]),
            ]
            shares = [
                (b / n_bare) / (o / len(clips))
                for b, o in zip(times["bare"], times["ours"], strict=True)
            ]
            costs = stage_costs(clips, recordings, embedder)
            cells = [f"{value:.1f}" for value in speed] + [f"{statistics.median(shares):.2f}"]
            cells += [f"{cost:.1f} ms" for cost in costs.values()]
            print(
                f"| {backbone_name} | " + " | ".join(cells) + f" | {1e3 / speed[0]:.1f} ms |",
                flush=True,
            )
    print(f"\n{arguments.clips} clips of {WINDOW_S:g} s at {RATE} Hz, batches of {BATCH}, "
          f"{arguments.threads} threads; stages on one thread, the network on all.")  # fmt: skip


if __name__ == "__main__":
    main()
