"""Do two versions of pseudorca give the same answers? Every verb's JSON, masked, before and after.

Run ``python benchmarks/same_answers.py record OUT`` with one version, the same with another, then
``python benchmarks/same_answers.py compare BEFORE AFTER``. What a run may change is masked: ids,
times, paths, versions, and speeds. All other values must be equal to the last digit.

``--source FOLDER`` runs the ``src`` folder of another checkout. ``--data`` and ``--weights`` are the
folders of real recordings and weights.
"""

import argparse
import csv
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MASKED = "(masked)"

_VOLATILE = {
    "clips_per_s", "provenance", "seconds", "seconds_computing_features", "tables", "time_utc",
    "took_s", "versions",
}  # fmt: skip
_ID = re.compile(r"\b[0-9a-f]{20,}\b")
_TIME = re.compile(r"\b20(?:2[5-9]|3\d)-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:\+00:00|Z)?\b")
_PATH = re.compile(r"(?:/[^\s/'\",;]+)+/?")

RUN = "from pseudorca.cli import main; main()"

Verbs = list[tuple[str, list[str]]]


def whole_job(recordings: Path, more: Verbs, *, scan: list[str], embed: list[str]) -> Verbs:
    """Name of each answer and what is typed for it; ``{project}`` and ``{out}`` are filled in."""
    here = ["--project", "{project}"]
    return [
        ("scan", ["scan", str(recordings), *here, *scan]),
        ("embed", ["embed", *here, *embed]),
        ("train", ["train", *here]),
        (
            "evaluate",
            ["evaluate", *here, "--split", "encounter", "--split", "random", "--repeats", "2"],
        ),
        ("compare", ["compare", *here, "--with", "logmel", "--repeats", "1"]),
        ("audit", ["audit", *here, "--permutations", "20", "--quick"]),
        ("predict", ["predict", *here, "--out", "{out}/predictions"]),
        *more,
    ]


def collections(data: Path, weights: Path, folder: Path) -> Iterator[tuple[str, Verbs]]:
    """Collections and the verbs that are run on each, in order."""
    watkins = data / "watkins-odontocetes"
    here = ["--project", "{project}"]
    simulated = folder / "survey" / "recordings"
    yield (
        "simulated",
        [
            ("simulate", ["simulate", str(folder / "survey"), "--encounters", "12", "--clips", "120",
                          "--seed", "3"]),
            *whole_job(
                simulated,
                [
                    ("decide", ["decide", *here, "--max-error", "0.5", "--out", "{out}/decided"]),
                    ("audit-whole", ["audit", *here, "--permutations", "20"]),
                    ("folds", ["folds", *here, "--split", "encounter"]),
                    ("clips", ["clips", *here]),
                    (
                        "embed-copies",
                        ["embed", *here, "--augment", "1", "--test-views", "1", "--reference"],
                    ),
                    (
                        "evaluate-prepared",
                        ["evaluate", *here, "--prepare", "views,test-views,reference=minus"],
                    ),
                    ("evaluate-pseudo", ["evaluate", *here, "--pseudo-labels", "0.8"]),
                    ("evaluate-tuned", ["evaluate", *here, "--head", "softmax", "--tune", "grid",
                                        "--epochs", "3", "--repeats", "1"]),
                    ("evaluate-inference", ["evaluate", *here, "--permutations", "10",
                                            "--learning-curve", "--repeats", "1"]),
                    ("train-prepared", ["train", *here, "--prepare", "views", "--name", "prepared"]),
                    ("predict-prepared", ["predict", *here, "--name", "prepared",
                                          "--format", "raven", "--format", "birdnet",
                                          "--format", "opensoundscape", "--format", "audacity",
                                          "--format", "banter", "--out", "{out}/prepared"]),
                    ("predict-gate", ["predict", str(simulated / "Unknown"), *here,
                                      "--gate", "12", "--out", "{out}/gated"]),
                    ("evaluate-forest", ["evaluate", *here, "--head", "forest", "--head-set",
                                         "n_trees=50", "--repeats", "1"]),
                    ("spectrograms", ["spectrograms", *here, "--out", "{out}/pictures"]),
                ],
                scan=[], embed=[],
            ),
        ],
    )  # fmt: skip
    events = data / "hiceas-2017" / "acoustic_events_banter.csv"
    if events.is_file():
        yield "events", [("decide-events", ["{events}", str(events), "--out", "{out}/events"])]
    if watkins.is_dir():
        metadata = ["--metadata", str(watkins / "metadata.csv")]
        yield "watkins", whole_job(watkins, [], scan=metadata, embed=[])
        network = weights / "mobilenet_v2_imagenet1001_coral.safetensors"
        if network.is_file():
            named = ["--backbone", "mobilenet_v2_tf", "--weights", str(network)]
            yield "watkins-mobilenet", whole_job(watkins, [], scan=metadata, embed=named)
            study = [
                "reproduce", str(watkins), "--out", "{out}/study",
                "--backbones", "mobilenet_v2_tf", "--weights", f"mobilenet_v2_tf={network}",
                "--against-rest", "FalseKillerWhale", "--max-per-class", "40", "--epochs", "4",
                "--folds", "3", "--repeats", "1", "--threads", "1",
            ]  # fmt: skip
            yield "study", [("reproduce", study)]


def masked(value: Any) -> Any:
    """A JSON value without what differs between two runs of one version."""
    if isinstance(value, dict):
        pairs = ((masked(key), key, entry) for key, entry in value.items())
        return {m: MASKED if key in _VOLATILE else masked(entry) for m, key, entry in pairs}
    if isinstance(value, list):
        return [masked(entry) for entry in value]
    if isinstance(value, str):
        for pattern in (_ID, _TIME, _PATH):
            value = pattern.sub(MASKED, value)
        return value
    return value


def record(out: Path, source: Path, data: Path, weights: Path, only: list[str]) -> None:
    """Run all verbs of all collections; a masked JSON file per answer, and what predict wrote."""
    has_verb = (source / "pseudorca" / "cli" / "events.py").is_file()
    events = "events" if has_verb else "decide --events"
    environment = os.environ | {"PYTHONPATH": str(source)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for collection, verbs in collections(data, weights, folder):
            if only and collection not in only:
                continue
            target = out / collection
            target.mkdir(parents=True, exist_ok=True)
            places = {"project": folder / collection / "project", "out": folder / collection}
            for answer, words in verbs:
                typed = " ".join(words).format(events=events, **places).split(" ")
                done = subprocess.run(
                    [sys.executable, "-c", RUN, *typed, "--json"],
                    env=environment, capture_output=True, text=True, check=False,
                )  # fmt: skip
                if done.returncode:
                    result: Any = {"status": done.returncode, "stderr": done.stderr[-2000:]}
                else:
                    result = json.loads(done.stdout)
                print(f"{collection} {answer}: status {done.returncode}", flush=True)
                text = json.dumps(masked(result), indent=1, sort_keys=True)
                (target / f"{answer}.json").write_text(text)
            for file in sorted(places["out"].rglob("*")):
                if file.suffix in (".csv", ".txt") and "project" not in file.parts:
                    rows = list(csv.reader(file.read_text().splitlines()))
                    written = "_".join(file.relative_to(places["out"]).parts)
                    text = json.dumps(masked(rows), indent=0)
                    (target / f"{written}.json").write_text(text)


def differences(before: Any, after: Any, where: str = "") -> Iterator[str]:
    """Every place where two JSON values differ, in words."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            if key not in before or key not in after:
                yield f"{where}.{key}: only {'after' if key in after else 'before'}"
            else:
                yield from differences(before[key], after[key], f"{where}.{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for i, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from differences(one, other, f"{where}[{i}]")
    elif before != after and not (before != before and after != after):
        yield f"{where}: {str(before)[:120]!r} is now {str(after)[:120]!r}"


def compare(before: Path, after: Path) -> int:
    """Print what differs, and return how many places that are."""
    n = 0
    files = sorted(
        {file.relative_to(top) for top in (before, after) for file in top.rglob("*.json")}
    )
    for file in files:
        if not ((before / file).is_file() and (after / file).is_file()):
            print(f"{file}: only {'after' if (after / file).is_file() else 'before'}")
            n += 1
            continue
        found = list(
            differences(
                json.loads((before / file).read_text()), json.loads((after / file).read_text())
            )
        )
        for text in found[:20]:
            print(f"{file}{text}")
        n += len(found)
    print(f"{len(files)} answers, {n} differences")
    return n


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    recording = verbs.add_parser("record")
    recording.add_argument("out", type=Path)
    recording.add_argument("--source", type=Path, default=ROOT / "src")
    recording.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    recording.add_argument("--weights", type=Path, default=ROOT.parent / "shared" / "weights")
    recording.add_argument("--only", nargs="*", default=[])
    comparing = verbs.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    options = parser.parse_args()
    if options.verb == "record":
        record(options.out, options.source, options.data, options.weights, options.only)
    else:
        sys.exit(compare(options.before, options.after) > 0)


if __name__ == "__main__":
    main()
