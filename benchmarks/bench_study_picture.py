"""How much faster the study's picture is computed than plotted, on one core, and how exactly.

Run ``python benchmarks/bench_study_picture.py``. The Matplotlib route is what a user would run,
from the spectrogram to the saved PNG opened again. The routes take turns, one plotted picture and
then several computed ones, so that a busy machine slows both. The real clip is timed where
``../shared/data`` is present.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import scipy.signal
import soundfile
from numpy.typing import NDArray
from PIL import Image
from threadpoolctl import threadpool_limits

from pseudorca.frontends.study_picture import StudyFrontEnd

matplotlib.use("Agg")
import matplotlib.pyplot as plt

TURNS, COMPUTED_PER_TURN = 15, 5
REAL_CLIP = (
    Path(__file__).parents[2]
    / "shared/data/hiceas-2017/Sette_AC_101/20170728_031259_ch05_sel02.wav"
)


def plotted(waveform: NDArray[Any], sample_rate: int, layout: str, path: Path) -> NDArray[np.uint8]:
    """The study's route."""
    frequencies, times, power = scipy.signal.spectrogram(waveform, sample_rate)
    plt.figure(figsize=(12, 8))
    with np.errstate(divide="ignore"):
        plt.pcolormesh(times, frequencies, np.log(power), cmap="viridis")
    plt.xticks([])
    plt.yticks([])
    plt.savefig(path, dpi=100, bbox_inches="tight" if layout == "tight" else None)
    plt.close()
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def resized(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(picture).resize((224, 224), Image.Resampling.BILINEAR))


def clips() -> dict[str, tuple[NDArray[np.float32], int]]:
    rng = np.random.default_rng(0)
    rate = 500_000
    time_s = np.arange(rate) / rate
    noise = 0.05 * rng.standard_normal(rate)
    whistle = 0.3 * np.sin(2 * np.pi * (6000 * time_s + 150 * np.sin(2 * np.pi * 3 * time_s)))
    clicks = np.where(np.arange(rate) % 25_000 == 0, 0.5, 0)
    silences = np.where(np.sin(2 * np.pi * 4 * time_s) > -0.5, noise, 0)
    synthetic = {"noise": noise, "whistle, clicks": noise + whistle + clicks, "silences": silences}
    found = {
        name: ((np.round(x * 32767) / 32768).astype(np.float32), rate)
        for name, x in synthetic.items()
    }
    if REAL_CLIP.exists():
        found["HICEAS, 1.23 s"] = soundfile.read(REAL_CLIP, dtype="float32")
    return found


def timed_ms(route: Callable[[], Any], times: int) -> list[float]:
    took = []
    for _ in range(times):
        start = time.perf_counter()
        route()
        took.append(1000 * (time.perf_counter() - start))
    return took


def compare(waveform: NDArray[np.float32], rate: int, layout: Any, folder: str) -> str:
    """Time both routes to the picture, and to the picture at 224 x 224."""
    slow = partial(plotted, waveform.astype(np.float64), rate, layout, Path(folder) / "clip.png")
    fast = partial(StudyFrontEnd(layout=layout).picture, waveform, sample_rate=rate)
    reference = slow()
    identical = (fast() == reference).all(axis=-1).mean()
    routes = {
        "slow": (slow, 1),
        "fast": (fast, COMPUTED_PER_TURN),
        "slow, small": (lambda: resized(slow()), 1),
        "fast, small": (lambda: resized(fast()), COMPUTED_PER_TURN),
    }
    took: dict[str, list[float]] = {name: [] for name in routes}
    for _ in range(TURNS):
        for name, (route, times) in routes.items():
            took[name] += timed_ms(route, times)
    ms = {name: statistics.median(values) for name, values in took.items()}
    line = ""
    for end in ("", ", small"):
        plotted_ms, computed_ms = ms["slow" + end], ms["fast" + end]
        ratio = plotted_ms / computed_ms
        line += f"{plotted_ms:8.0f} ms{computed_ms:8.2f} ms{ratio:5.0f}x"
    return line + f"{100 * identical:12.4f} %"


def main() -> None:
    print(
        f"Medians of {TURNS} plotted and {TURNS * COMPUTED_PER_TURN} computed pictures, one core."
    )
    print(f"{'':24s}{'picture':^28s}{'resized to 224 x 224':^28s}{'identical':>14s}")
    print(f"{'clip':16s}{'layout':8s}" + 2 * f"{'plotted':>11s}{'computed':>11s}{'':6s}" + "pixels")
    with threadpool_limits(1), tempfile.TemporaryDirectory() as folder:
        for name, (waveform, rate) in clips().items():
            for layout in ("tight", "wide"):
                print(f"{name:16s}{layout:8s}{compare(waveform, rate, layout, folder)}", flush=True)


if __name__ == "__main__":
    main()
