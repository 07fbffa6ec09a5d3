"""Starting up: seconds and memory of whole commands, beside importing what they might need.

    python benchmarks/bench_startup.py [--rounds 5]

Each command is a process of its own on a small simulated project (16 encounters, 64 clips), and so
are ``import lancedb``, ``import pandas`` and ``import torch``. All take turns within a round, so that
a busy moment of the machine falls on all of them; the table holds medians, and ratios to the medians
of the imports. Memory is the largest resident memory of the process. Prints a markdown table.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

IMPORTS = ("lancedb", "pandas", "torch")
RUN = "import sys; sys.argv[0] = 'pseudorca'; from pseudorca.cli import main; main()"
COMMANDS = (
    "--help", "scan --help", "train --help", "predict --help",
    "scan DATA --nothing", "clips -p PROJECT --window 0", "embed -p PROJECT --backbone nobody",
    "embed -p PROJECT --slow 0", "predict -p PROJECT --format nobody", "backbones nobody",
    "train -p PROJECT --c 0",
    "scan DATA -p PROJECT", "clips -p PROJECT", "folds -p PROJECT", "backbones",
    "report -p PROJECT",
)  # fmt: skip


def measured(code: str, arguments: list[str], *, refused: bool) -> tuple[float, float]:
    """Run a process -> seconds, and its largest resident memory in MB."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == (2 if refused else 0), (arguments, process.returncode)
    return seconds, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    n_rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        survey, project = Path(name, "survey"), Path(name, "project")
        places = {"DATA": str(survey / "recordings"), "PROJECT": str(project)}
        for line in (
            f"simulate {survey} --clips 64",
            f"scan {places['DATA']} -p {project}",
            f"embed -p {project}",
            f"evaluate -p {project}",
        ):
            subprocess.run(
                [sys.executable, "-c", RUN, *line.split()], check=True, capture_output=True
            )
        runs = {f"import {module}": (f"import {module}", [], False) for module in IMPORTS}
        for command in COMMANDS:
            words = [places.get(word, word) for word in command.split()]
            refused = any(word in ("0", "nobody", "--nothing") for word in words)
            runs[command] = (RUN, words, refused)
        found: dict[str, list[tuple[float, float]]] = {command: [] for command in runs}
        for _ in range(n_rounds):
            for command, (code, words, refused) in runs.items():
                found[command].append(measured(code, words, refused=refused))
    seconds = {command: statistics.median(s for s, _ in each) for command, each in found.items()}
    memory = {command: statistics.median(mb for _, mb in each) for command, each in found.items()}
    print(f"| command | seconds | MB | {' | '.join(f'/ {module}' for module in IMPORTS)} |")
    print("|---|---|---|" + "---|" * len(IMPORTS))
    for command in runs:
        ratios = (f"{seconds[command] / seconds[f'import {module}']:.2f}" for module in IMPORTS)
        print(
            f"| `{command}` | {seconds[command]:.2f} | {memory[command]:.0f} | {' | '.join(ratios)} |"
        )


if __name__ == "__main__":
    main()
