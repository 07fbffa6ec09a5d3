"""Draw simulated clips beside the real HICEAS clip, with the true (or traced) contours over them.

    python docs/figures/simulated_beside_real.py

Writes ``docs/figures/simulated_beside_real.png``. The real clip is read from ``../shared/data`` and
is not part of the project; without it the simulated ones are drawn alone.
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.signal
from matplotlib.figure import Figure
from PIL import Image

from pseudorca.recordings.audio import probe, read_segment
from pseudorca.recordings.naming import parse_file_name
from pseudorca.simulation import SurveyConfig, simulate_survey

HERE = Path(__file__).resolve().parent
REAL = HERE.parents[2] / "shared/data/hiceas-2017/Sette_AC_101/20170728_031259_ch05_sel02.wav"
VIEWS = (
    (0.0006, None, "whole band"),
    (0.02, 16_000, "whistles"),
    (0.02, 16_000, "and their truth"),
)


def levels(samples, rate: int, window_s: float, top_hz: float | None):
    """Spectrogram in dB; columns are thinned by their maximum, so that clicks survive."""
    n = int(window_s * rate)
    frequency, time, power = scipy.signal.spectrogram(
        samples, rate, window="hann", nperseg=n, noverlap=3 * n // 4
    )
    kept = (frequency > 200) & (frequency <= (top_hz or rate / 2))
    db = 10 * np.log10(power[kept] + 1e-20)
    step = max(1, db.shape[1] // 500)
    n_columns = db.shape[1] // step
    db = db[:, : n_columns * step].reshape(len(db), n_columns, step).max(axis=2)
    return frequency[kept] / 1000, time[: n_columns * step : step], db


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "survey"
        config = SurveyConfig(
            seed=2, n_encounters=4, n_clips=12, max_channels=1, n_unknown_encounters=0,
            n_unknown_clips=0, sample_rate=None,
        )  # fmt: skip
        simulate_survey(out, config)
        clips = pd.read_csv(out / "truth" / "clips.csv")
        contours = pd.read_parquet(out / "truth" / "contours.parquet")
        shown = [("HICEAS 2017, real", REAL, None)] if REAL.exists() else []
        for path in clips.groupby("encounter")["path"].nth(1):
            shown.append((f"simulated, {path.split('/')[1]}", out / path, path))
        figure = Figure(figsize=(3.4 * len(shown), 8.2), layout="constrained")
        axes = figure.subplots(len(VIEWS), len(shown), squeeze=False)
        for column, (title, path, key) in enumerate(shown):
            rate = probe(path).sample_rate
            samples = read_segment(path)[0]
            for row, (window_s, top_hz, view) in enumerate(VIEWS):
                ax = axes[row, column]
                frequency, time, db = levels(samples, rate, window_s, top_hz)
                low, high = np.percentile(db, (10, 99.8))
                ax.pcolormesh(time, frequency, db, vmin=low, vmax=high, rasterized=True)
                if row == 2 and path == REAL:
                    traced = pd.read_csv(next(path.parent.glob("pc_*ROCCA.csv")))
                    traced.columns = traced.columns.str.strip()
                    time_s = (
                        traced["Time [ms]"] / 1000
                        - parse_file_name(path.stem).start_utc.timestamp()
                    )
                    ax.plot(time_s, traced["Peak Frequency [Hz]"] / 1000, "r-", lw=1)
                if row == 2 and key is not None:
                    for _, line in contours[contours["path"] == key].groupby("signal"):
                        ax.plot(line["time_s"], line["frequency_hz"] / 1000, "r-", lw=1)
                ax.set_ylim(0, (top_hz or rate / 2) / 1000)
                if column == 0:
                    ax.set_ylabel(f"{view}\nfrequency (kHz)")
            axes[0, column].set_title(f"{title}\n{rate / 1000:g} kHz", fontsize=10)
            axes[-1, column].set_xlabel("time (s)")
        target = HERE / "simulated_beside_real.png"
        figure.savefig(target, dpi=80)
        Image.open(target).convert("RGB").quantize(64).save(target, optimize=True)


if __name__ == "__main__":
    main()
