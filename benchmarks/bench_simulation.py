"""How fast sound is simulated, as a multiple of real time, on one core.

Times one-channel clips of 2 s at 96 kHz, made in memory and written as a survey, and prints the
median of several runs: by processor time, which other users of the machine disturb little, and by
the clock. Run: ``OMP_NUM_THREADS=1 python benchmarks/bench_simulation.py``.
"""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from pseudorca import simulation as sim

N_RUNS = 7
N_CLIPS = 40
CLIP_S = 2.0


def make_clips(sample_rate: int) -> float:
    """Simulate clips in memory; their seconds of sound."""
    recorder = sim.recorder("array_500k", sample_rate=sample_rate)
    for seed in range(N_CLIPS):
        rng = np.random.default_rng(seed)
        world = sim.draw_world(rng)
        sim.simulate_clip(rng, sim.PSEUDORCA, world, recorder, CLIP_S, require=("whistle",))
    return N_CLIPS * CLIP_S


def make_survey() -> float:
    """Simulate a survey on disk, one channel per moment; its seconds of sound."""
    config = sim.SurveyConfig(n_encounters=8, n_clips=40, max_channels=1, n_unknown_encounters=0,
                              n_unknown_clips=0)  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        return sim.simulate_survey(Path(folder), config).duration_s


def main() -> None:
    """Print one line per case."""
    make_clips(96_000)  # first calls import and warm up
    print("case                      x real time: median (range) of processor time | clock")
    for name, case in (
        ("clips, 96 kHz", lambda: make_clips(96_000)),
        ("clips, 500 kHz", lambda: make_clips(500_000)),
        ("survey on disk, 96 kHz", make_survey),
    ):
        by_cpu, by_clock = [], []
        for _ in range(N_RUNS):
            clock, cpu = time.perf_counter(), time.process_time()
            seconds = case()
            by_cpu.append(seconds / (time.process_time() - cpu))
            by_clock.append(seconds / (time.perf_counter() - clock))
        print(
            f"{name:25s} {statistics.median(by_cpu):6.0f} ({min(by_cpu):.0f} to {max(by_cpu):.0f})"
            f" | {statistics.median(by_clock):6.0f} ({min(by_clock):.0f} to {max(by_clock):.0f})"
        )


if __name__ == "__main__":
    main()
