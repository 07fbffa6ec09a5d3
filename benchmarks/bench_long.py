"""One long recording through the command line: memory, speed, and where the time of a clip goes.

    python benchmarks/bench_long.py [--quick] [--hours 6] [--networks pseudorca_small,resnet18]
        [--folder DIR] [--workers 1,2] [--prepare]

A 48 kHz 16-bit recording, simulated a minute at a time, and its first minute as a file of its own
are predicted on by `pseudorca predict`, a process of its own whose memory is read ten times a
second. Bare: the network alone, same memory format, batches of 32 in memory, all threads; it
runs before and after. Weights of torchvision's networks are random numbers: speed does not depend
on them. What was made and measured in --folder stays there and is not made again; without it, all
is in a temporary folder and goes. --prepare makes recordings and classifiers only.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile as sf
import torch
import torchvision
from safetensors.torch import save_file

from pseudorca import simulation
from pseudorca.embedding.embedder import Embedder, load_embedder
from pseudorca.frontends.base import resample
from pseudorca.recordings import audio
from pseudorca.simulation.moments import LONG_ACTIVITY

RATE = 48_000
WINDOW_S = 3.0
BATCH = 32
PIECE_S = 60
SMALL = "pseudorca_small"
NAME = "rec1_20240101_000000.wav"
PROGRAM = Path(sys.executable).with_name("pseudorca")


def make_recording(path: Path, minutes: int) -> None:
    """A moored recorder's sound: false killer whales in the first ten minutes of every hour."""
    recorder = simulation.recorder("moored_24bit", sample_rate=RATE)
    kinds = ("Insular", "Pelagic")
    partial = path.with_suffix(".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    with sf.SoundFile(partial, "w", RATE, 1, "PCM_16", format="WAV") as file:
        for minute in range(minutes):
            rng = np.random.default_rng(minute)
            hour = np.random.default_rng(10_000 + minute // 60)
            world, group = simulation.draw_world(hour), simulation.draw_group(hour)
            species = simulation.population(kinds[minute // 60 % 2], 3.0)
            activity = LONG_ACTIVITY if minute % 60 < 10 else 0.0
            sound, _ = simulation.simulate_clip(
                rng, species, world, recorder, PIECE_S, group=group, activity=activity
            )
            file.write(sound[0])
    partial.rename(path)


def pseudorca(*words: Any) -> dict[str, Any]:
    """Run the command line and read what it prints."""
    command = [str(PROGRAM), *map(str, words), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    return json.loads(done.stdout)


def random_weights(network: str, folder: Path) -> Path:
    path = folder / f"{network}.safetensors"
    if not path.exists():
        torch.manual_seed(0)
        save_file(torchvision.models.get_model(network, weights=None).state_dict(), path)
    return path


def make_classifier(network: str, folder: Path) -> Path:
    """A project with a classifier of two simulated populations."""
    survey, project = folder / "survey", folder / f"project_{network}"
    if not (survey / "recordings").exists():
        pseudorca("simulate", survey, "--clips", 48, "--encounters", 8, "--effect", 3,
                  "--set", f"sample_rate={RATE}")  # fmt: skip
    if (project / "classifiers").exists():
        return project
    shutil.rmtree(project, ignore_errors=True)
    weights = [] if network == SMALL else ["--weights", random_weights(network, folder)]
    pseudorca("scan", survey / "recordings", "--project", project)
    pseudorca("embed", "--project", project, "--backbone", network, *weights)
    pseudorca("train", "--project", project)
    return project


@contextmanager
def watched(process: subprocess.Popen[bytes]) -> Iterator[list[tuple[float, float]]]:
    """Resident memory of a process, and its children's own: (seconds, MB), ten times a second."""
    seen: list[tuple[float, float]] = []
    begin, over = time.perf_counter(), threading.Event()

    def watch() -> None:
        parent = psutil.Process(process.pid)
        while not over.wait(0.1):
            try:
                rss = parent.memory_info().rss
                for child in parent.children(recursive=True):
                    rss += child.memory_full_info().uss  # without what it shares
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
            seen.append((time.perf_counter() - begin, rss / 1e6))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def run_watched(command: list[Any], log: Path) -> dict[str, Any]:
    """Wall time, processor time and memory of a command."""
    before, begin = os.times(), time.perf_counter()
    with log.open("wb") as out, log.with_suffix(".err").open("wb") as err:
        process = subprocess.Popen([str(word) for word in command], stdout=out, stderr=err)
        with watched(process) as seen:
            status = process.wait()
    wall, after = time.perf_counter() - begin, os.times()
    if status:
        raise SystemExit(f"{command}\n{log.with_suffix('.err').read_text()[-2000:]}")
    until = [
        [round(share * wall, 1), round(max(mb for s, mb in seen if s <= share * wall + 0.2), 1)]
        for share in np.linspace(0.1, 1.0, 10)
    ]
    user = after.children_user - before.children_user
    system = after.children_system - before.children_system
    peak = max(mb for _, mb in seen)
    return {"wall_s": wall, "cpu_s": user + system, "peak_mb": peak, "peak_until": until}


def predict(project: Path, recordings: list[Path], folder: Path, *more: Any) -> dict[str, Any]:
    """`pseudorca predict` on recordings, in a copy of the project that has seen none of them."""
    fresh = folder / "fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(project, fresh)
    log = folder / "predict.json"
    command = [PROGRAM, "predict", *recordings, "--project", fresh, *more]
    found = run_watched([*command, "--json"], log)
    said = json.loads(log.read_text())
    assert said["n_problems"] == 0, said["problems"][:3]
    on_disk = {path.relative_to(fresh).parts[0]: 0 for path in fresh.rglob("*") if path.is_file()}
    for path in fresh.rglob("*"):
        if path.is_file():
            on_disk[path.relative_to(fresh).parts[0]] += path.stat().st_size
    shutil.rmtree(fresh)
    return found | {"n_clips": said["n_clips"], "bytes": on_disk}


def bare_speed(embedder: Embedder, shape: tuple[int, ...], seconds: float = 8.0) -> float:
    """Clips per second of the network alone."""
    batch = torch.randn(BATCH, 3, *shape[:2]).contiguous(memory_format=torch.channels_last)
    times = []
    with torch.inference_mode():
        embedder.backbone.embed(batch)
        while sum(times) < seconds:
            begin = time.perf_counter()
            embedder.backbone.embed(batch)
            times.append(time.perf_counter() - begin)
    return BATCH / statistics.median(times)


def stage_costs(recording: Path, embedder: Embedder) -> dict[str, float]:
    """Median milliseconds a clip, one thread, each stage alone."""
    found: dict[str, list[float]] = {"decode": [], "resample": [], "spectrogram, picture": []}
    n, rate = round(WINDOW_S * RATE), embedder.front_end.sample_rate
    with audio.Reader(recording) as reader:
        for k in range(min(100, reader.info.n_frames // n)):
            start = time.perf_counter()
            waveform = reader.read(k * n, n)[0]
            decoded = time.perf_counter()
            low = resample(waveform, RATE, rate)
            resampled = time.perf_counter()
            embedder.network_input(low, sample_rate=rate)
            drawn = time.perf_counter()
            found["decode"].append(decoded - start)
            found["resample"].append(resampled - decoded)
            found["spectrogram, picture"].append(drawn - resampled)
    return {stage: 1e3 * statistics.median(times) for stage, times in found.items()}


def picture_shape(recording: Path, embedder: Embedder) -> tuple[int, ...]:
    with audio.Reader(recording) as reader:
        sound = reader.read(0, round(WINDOW_S * RATE))[0]
    return embedder.network_input(sound, sample_rate=RATE).shape


def measure(network: str, folder: Path, long: Path, minute: Path, *more: Any) -> dict[str, Any]:
    project = make_classifier(network, folder)
    embedder = load_embedder(project / "embedder")
    shape = picture_shape(minute, embedder)
    short = predict(project, [minute], folder, *more)
    before = bare_speed(embedder, shape)
    whole = predict(project, [long], folder, *more)
    after = bare_speed(embedder, shape)
    return {
        "network": network,
        "bare": [before, after],
        "minute": short,
        "long": whole,
        "stages_ms": stage_costs(long, embedder),
        "seconds_of_sound": sf.info(long).duration,
        "load": os.getloadavg()[0],
    }


def table_rows(results: dict[str, dict[str, Any]]) -> Iterator[str]:
    """The results as lines of two Markdown tables."""
    yield (
        "| network | workers | clips | wall, s | x real time | clips/s | bare, clips/s | "
        "share of bare | peak of 1 min, MB | peak of all, MB | more, MB |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for found in results.values():
        whole, bare = found["long"], statistics.mean(found["bare"])
        speed = whole["n_clips"] / whole["wall_s"]
        peaks = found["minute"]["peak_mb"], whole["peak_mb"]
        yield (
            f"| {found['network']} | {found['workers']} | {whole['n_clips']} | {whole['wall_s']:.0f} | "
            f"{found['seconds_of_sound'] / whole['wall_s']:.0f} | {speed:.1f} | {bare:.1f} | "
            f"{speed / bare:.2f} | {peaks[0]:.0f} | {peaks[1]:.0f} | {peaks[1] - peaks[0]:.0f} |"
        )
    yield ""
    yield "| network | decode | resample | spectrogram, picture | network |"
    yield "|---|---|---|---|---|"
    for found in results.values():
        costs = [*found["stages_ms"].values(), 1e3 / statistics.mean(found["bare"])]
        yield f"| {found['network']} | " + " | ".join(f"{cost:.1f} ms" for cost in costs) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=6.0)
    parser.add_argument("--networks", default=f"{SMALL},resnet18,mobilenet_v2")
    parser.add_argument("--workers", default="", help="of predict, such as 1,2; empty: its default")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--quick", action="store_true", help="five minutes, the network in the box")
    parser.add_argument("--prepare", action="store_true")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.hours, arguments.networks = 5 / 60, SMALL
    minutes = round(60 * arguments.hours)
    temporary = None if arguments.folder else tempfile.TemporaryDirectory()
    folder = Path(temporary.name) if temporary else arguments.folder
    long, minute = folder / f"{minutes}min" / NAME, folder / "1min" / NAME
    for path, n in ((minute, 1), (long, minutes)):
        if not path.exists():
            make_recording(path, n)
    results_path = folder / f"results_{minutes}min.json"
    results = json.loads(results_path.read_text()) if results_path.exists() else {}
    for network in arguments.networks.split(","):
        make_classifier(network, folder)
        for workers in arguments.workers.split(","):
            key = f"{network} {workers}"
            if arguments.prepare or key in results:
                continue
            more = ["--workers", workers] if workers else []
            results[key] = measure(network, folder, long, minute, *more) | {"workers": workers}
            results_path.write_text(json.dumps(results, indent=1) + "\n")
            print(json.dumps(results[key]), file=sys.stderr, flush=True)
    print("\n".join(table_rows(results)))
    if temporary:
        temporary.cleanup()


if __name__ == "__main__":
    main()
