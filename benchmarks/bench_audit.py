"""Does the audit say "recorder" when it is the recorder, and only then? Through audio.

    python benchmarks/bench_audit.py [--surveys 30] [--results benchmarks/results/audit_audio.csv]

Surveys are simulated whole (sound files, folders), scanned, cut, embedded by the network in the box
and audited, in four corner cells: no or a strong difference between the populations (effect 0 or 3)
x no or full confounding of population and recorder (confound 0 or 1). Each has 16 encounters, 8 of
each class, about 8 clips each on one channel (balanced), recordings of array_500k and array_192k
kept at 96 kHz, encounter signature 0.7; 50 permutations; a fixed C of 0.01, one repeat of 5 folds,
and only the controls that vote (--quick). A row per survey is appended to the results; surveys that
stand there are not made again, so the command can be stopped and repeated. At the end, and with
--report alone, the shares of each verdict per cell are printed with Clopper-Pearson bounds.
"""

import argparse
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import scipy.stats

from pseudorca.audit.audit import audit_project
from pseudorca.audit.options import AuditOptions
from pseudorca.embedding.embed import EmbedderOptions, embed_project
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.recipe import Recipe
from pseudorca.recordings.clips import ClipOptions, clips_project
from pseudorca.recordings.folds import Split
from pseudorca.recordings.manifest import ScanOptions
from pseudorca.recordings.scan import scan_project
from pseudorca.simulation import SurveyConfig, simulate_survey
from pseudorca.store import Store

RESULTS = Path(__file__).parent / "results" / "audit_audio.csv"
CELLS = ((0.0, 0.0), (0.0, 1.0), (3.0, 0.0), (3.0, 1.0))
N_ENCOUNTERS, N_CLIPS, N_PERMUTATIONS = 16, 128, 50
FIRST_SEED = 1_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--surveys", type=int, default=30, help="per cell")
    parser.add_argument("--first", type=int, default=0, help="survey to begin with, to share work")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--report", action="store_true", help="only print what is there")
    arguments = parser.parse_args()
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    done = pd.read_csv(arguments.results) if arguments.results.exists() else pd.DataFrame()
    known = set() if done.empty else set(zip(done["effect"], done["confound"], done["seed"],
                                             strict=True))  # fmt: skip
    for k in () if arguments.report else range(arguments.first, arguments.surveys):
        for effect, confound in CELLS:
            seed = FIRST_SEED + k
            if (effect, confound, seed) in known:
                continue
            start = time.perf_counter()
            row = {"effect": effect, "confound": confound, "seed": seed} | survey(
                effect, confound, seed
            )
            row |= {
                "seconds": round(time.perf_counter() - start, 1),
                "time_utc": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            header = not arguments.results.exists()
            pd.DataFrame([row]).to_csv(arguments.results, mode="a", header=header, index=False)
            print(f"effect {effect:g}, confound {confound:g}, seed {seed}: {row['verdict']} "
                  f"({row['seconds']} s)", flush=True)  # fmt: skip
    if arguments.results.exists():
        report(pd.read_csv(arguments.results))


def survey(effect: float, confound: float, seed: int) -> dict[str, object]:
    """Simulate and audit one survey; its verdict and numbers."""
    config = SurveyConfig(
        seed=seed, n_encounters=N_ENCOUNTERS, n_clips=N_CLIPS, insular_clips=0.5,
        insular_encounters=0.5, n_unknown_encounters=0, n_unknown_clips=0, effect=effect,
        confound=confound, max_channels=1,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        simulate_survey(folder / "survey", config)
        store = Store(folder / "project", create=True)
        scan_project(store, folder / "survey" / "recordings", ScanOptions())
        clips_project(store, ClipOptions())
        embedded = embed_project(store, EmbedderOptions())
        found = audit_project(
            store,
            Recipe(LogisticHead(c=0.01)),
            Split("encounter"),
            AuditOptions(n_permutations=N_PERMUTATIONS, seed=seed, quick=True),
        ).as_json()
    values = {row["name"]: row["value"] for row in found["controls"]}
    p_values = {row["name"]: row["p"] for row in found["controls"]}
    background = "background through the network"
    return {
        "verdict": found["verdict"],
        "model": values["model"],
        "p_model": found["p_model"],
        "best_control": found["best_control"],
        "best": values[found["best_control"]],
        "p_nuisance": found["p_nuisance"],
        "difference": found["difference"]["value"],
        "low": found["difference"]["low"],
        "high": found["difference"]["high"],
        "verdict_by_background_alone": found["by_background_alone"]["verdict"],
        "p_by_background_alone": found["by_background_alone"]["p_nuisance"],
        "background_spectrum": values.get("background level and spectrum"),
        "background_network": values.get(background),
        "p_background_network": p_values.get(background),
        "n_clips": found["n_clips"],
        "n_clips_without_background": found["background"]["n_clips_without"],
        "embedder_id": embedded.embedder_id,
    }


def report(rows: pd.DataFrame) -> None:
    """Print the shares of each verdict with exact 95 % bounds."""
    print(
        "\n| effect | confound | surveys | recorder | animals | cannot tell | model | best control |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for (effect, confound), cell in rows.groupby(["effect", "confound"]):
        shares = " | ".join(
            share(cell, verdict) for verdict in ("recorder", "animals", "cannot tell")
        )
        print(f"| {effect:g} | {confound:g} | {len(cell)} | {shares} | {cell['model'].mean():.2f} | "
              f"{cell['best'].mean():.2f} |")  # fmt: skip
    fair = rows[rows["confound"] == 0]
    by_sound = rows.assign(verdict=rows["verdict_by_background_alone"])
    print("\nBy the background alone, as if no platform or date were known:")
    for (effect, confound), cell in by_sound.groupby(["effect", "confound"]):
        print(f"effect {effect:g}, confound {confound:g}: recorder {share(cell, 'recorder')}, "
              f"animals {share(cell, 'animals')}")  # fmt: skip
    print(f"\nRecorder at confound 0, pooled: {share(fair, 'recorder')} (aim: at most 5 %).")
    full = rows[(rows["confound"] == 1) & (rows["effect"] == 0)]
    print(f"Recorder at confound 1 without effect: {share(full, 'recorder')} (aim: at least 95 %).")


def share(rows: pd.DataFrame, verdict: str) -> str:
    n, k = len(rows), int((rows["verdict"] == verdict).sum())
    if not n:
        return "none yet"
    bounds = scipy.stats.binomtest(k, n).proportion_ci(method="exact")
    return f"{k}/{n} [{100 * bounds.low:.0f}, {100 * bounds.high:.0f}] %"


if __name__ == "__main__":
    main()
