"""Scanning many small files: seconds, files a second, against merely reading them with soundfile.

    python benchmarks/bench_scan.py [--files 20000]

Files: 0.25 s, 48 kHz, 16-bit mono, in class and encounter folders. The plain way reads each file
with soundfile.read on one thread and does nothing with it; the scan also hashes the sound, checks
it, reads names and finds duplicates. Files are in the page cache both times.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile as sf

from pseudorca.recordings.manifest import scan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=20_000)
    n_files = parser.parse_args().files
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        noise = (3_000 * rng.standard_normal(48_000)).astype(np.int16)
        for k in range(n_files):
            folder = root / ("Insular" if k % 7 == 0 else "Pelagic") / f"Lasker_AC_{k % 70}"
            if k < 70:
                folder.mkdir(parents=True, exist_ok=True)
            sound = noise[k % 36_000 : k % 36_000 + 12_000].copy()
            sound[0] = k // 36_000 + 1
            stamp = f"201708{1 + k % 28:02d}_{k // 3600 % 24:02d}{k // 60 % 60:02d}{k % 60:02d}"
            sf.write(folder / f"{stamp}_ch{k % 6 + 1:02d}_sel{k:05d}.wav", sound, 48_000)
        start = time.perf_counter()
        for path in root.rglob("*.wav"):
            sf.read(path)
        plain = time.perf_counter() - start
        start = time.perf_counter()
        manifest = scan(root)
        ours = time.perf_counter() - start
    assert len(manifest.recordings) + len(manifest.problems) == n_files
    print(f"{n_files} files: scan {ours:.1f} s ({n_files / ours:.0f} files/s), "
          f"plain reading {plain:.1f} s, ratio {ours / plain:.2f}; "
          f"{len(manifest.problems)} problems")  # fmt: skip


if __name__ == "__main__":
    main()
