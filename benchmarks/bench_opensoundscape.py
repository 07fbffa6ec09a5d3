"""Prediction against OpenSoundscape's: same network, windows and recordings, time and memory.

    python benchmarks/bench_opensoundscape.py [--quick] [--minutes 15] [--rounds 3] [--folder DIR]
        [--environment DIR]

ResNet-18 with the same random weights, two classes, windows of 3 s of a 48 kHz recording (simulated,
in files of five minutes), resampled to 32 kHz, frames of 1,024 samples every 256, pictures of
224 x 224 in three channels, batches of 32 there and of 8 here, both on all cores. OpenSoundscape is
installed in an environment of its own (made if it is not there: minutes, 6 GB) and runs with its
default of no loading processes and with two. Whole commands take turns, each in a fresh process and
project; a one-minute recording first, so that what starting costs can be told from what a window costs.

What differs: OpenSoundscape's picture has linear frequency, ours a mel scale and colours; ours also
commits embeddings, decides per clip, recording and encounter, and writes its tables. Mixed precision
(bfloat16) is an option of ours that OpenSoundscape's prediction has not. Memory is the resident
memory of the process and what loading processes have for themselves.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import soundfile as sf
import torch
from bench_long import (
    NAME,
    RATE,
    make_classifier,
    make_recording,
    predict,
    random_weights,
    run_watched,
)
from safetensors.torch import load_file

NETWORK = "resnet18"
FILE_MINUTES = 5
HELPER = Path(__file__).with_name("opensoundscape_predict.py")
REQUIREMENTS = ("opensoundscape==0.13.2", "torch==2.11.0", "torchvision==0.26.0")
WAYS = {  # words of `pseudorca predict`, or OpenSoundscape's loading processes
    "pseudorca": ["--precision", "float32"],
    "pseudorca, mixed precision": ["--precision", "mixed"],
    "OpenSoundscape": 0,
    "OpenSoundscape, 2 loaders": 2,
}


def make_environment(folder: Path) -> Path:
    """The Python of an environment that has OpenSoundscape."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *REQUIREMENTS], check=True)
    return python


def make_files(folder: Path, minutes: int) -> list[Path]:
    """A recording in files that follow each other by the clock."""
    whole = folder / f"{minutes}min" / NAME
    if not whole.exists():
        make_recording(whole, minutes)
    files = folder / f"{minutes}min_files"
    if not files.exists():
        files.mkdir()
        n = 60 * FILE_MINUTES * RATE
        for k in range(-(-minutes // FILE_MINUTES)):
            sound, _ = sf.read(whole, frames=n, start=n * k, dtype="int16")
            hour, minute = divmod(k * FILE_MINUTES, 60)
            path = files / f"rec1_20240101_{hour:02d}{minute:02d}00.wav"
            sf.write(path, sound, RATE, subtype="PCM_16")
    return sorted(files.iterdir())


def run(way: str, recordings: list[Path], folder: Path, python: Path) -> dict[str, Any]:
    """One command on some recordings -> seconds, processor seconds, memory, windows."""
    setting = WAYS[way]
    if isinstance(setting, list):
        return predict(make_classifier(NETWORK, folder), recordings, folder, *setting)
    weights, scores = folder / f"{NETWORK}.pt", folder / "scores.csv"
    if not weights.exists():
        torch.save(load_file(random_weights(NETWORK, folder)), weights)
    command = [python, HELPER, weights, scores, setting, *recordings]
    found = run_watched(command, folder / "opensoundscape.log")
    return found | {"n_clips": sum(1 for _ in scores.open()) - 1}


def table_rows(rounds: list[dict[str, Any]]) -> list[str]:
    """Medians, and medians of the ratios of each round, as a Markdown table."""

    def middle(way: str, size: str, what: str) -> float:
        return statistics.median(one[way][size][what] for one in rounds)

    def per_window(one: dict[str, Any], way: str, what: str) -> float:
        long, short = one[way]["long"], one[way]["minute"]
        return 1e3 * (long[what] - short[what]) / (long["n_clips"] - short["n_clips"])

    lines = [
        "| | windows | whole command, s | one minute of sound, s | ms a window beyond that |"
        " processor, ms | peak memory, MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for way in WAYS:
        waits = statistics.median(per_window(one, way, "wall_s") for one in rounds)
        works = statistics.median(per_window(one, way, "cpu_s") for one in rounds)
        lines.append(
            f"| {way} | {rounds[0][way]['long']['n_clips']} | {middle(way, 'long', 'wall_s'):.1f} | "
            f"{middle(way, 'minute', 'wall_s'):.1f} | {waits:.1f} | {works:.1f} | "
            f"{middle(way, 'long', 'peak_mb'):.0f} |"
        )
    for way in list(WAYS)[1:]:
        whole, beyond, works, memory = (
            statistics.median(ratios)
            for ratios in zip(
                *(
                    (
                        one[way]["long"]["wall_s"] / one["pseudorca"]["long"]["wall_s"],
                        per_window(one, way, "wall_s") / per_window(one, "pseudorca", "wall_s"),
                        per_window(one, way, "cpu_s") / per_window(one, "pseudorca", "cpu_s"),
                        one[way]["long"]["peak_mb"] / one["pseudorca"]["long"]["peak_mb"],
                    )
                    for one in rounds
                ),
                strict=True,
            )
        )
        lines.append(
            f"\n{way} takes {whole:.2f} times as long for the whole command, {beyond:.2f} times a "
            f"window ({works:.2f} of processor time), and {memory:.2f} times the memory."
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--environment", type=Path)
    parser.add_argument("--quick", action="store_true", help="five minutes, one round")
    parser.add_argument("--prepare", action="store_true")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.minutes, arguments.rounds = 5, 1
    temporary = None if arguments.folder else tempfile.TemporaryDirectory()
    folder = Path(temporary.name) if temporary else arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    python = make_environment(arguments.environment or folder / "opensoundscape")
    make_classifier(NETWORK, folder)
    sizes = {"minute": make_files(folder, 1), "long": make_files(folder, arguments.minutes)}
    results_path = folder / f"opensoundscape_{arguments.minutes}min.json"
    rounds = json.loads(results_path.read_text()) if results_path.exists() else []
    while len(rounds) < arguments.rounds and not arguments.prepare:
        one = {
            way: {size: run(way, files, folder, python) for size, files in sizes.items()}
            for way in WAYS
        }
        assert len({one[way]["long"]["n_clips"] for way in WAYS}) == 1
        rounds.append(one)
        results_path.write_text(json.dumps(rounds, indent=1) + "\n")
        print(f"round {len(rounds)}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    if rounds:
        print("\n".join(table_rows(rounds)))
    if temporary:
        temporary.cleanup()


if __name__ == "__main__":
    main()
