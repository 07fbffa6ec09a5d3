"""What makes an answer trustworthy, and what that costs: nothing, strangers, the least probability.

    python benchmarks/bench_trust.py nothing [--elsewhere]   Watkins with and without a class of nothing
    python benchmarks/bench_trust.py strangers               Watkins, each species left out in turn
    python benchmarks/bench_trust.py fallback                simulated surveys of few encounters
    python benchmarks/bench_trust.py misses                  clips called nothing, by level of signals
    python benchmarks/bench_trust.py hours                   six simulated hours with known truth
    python benchmarks/bench_trust.py                         all of these, in this order

``nothing`` compares balanced accuracy by encounter and by outing on the same folds (paired), counts how
often held-out clips and held-out backgrounds are called nothing, and predicts on recordings of other
recorders. ``--elsewhere`` adds the recorders never seen: nothing is chosen on them, so it is asked
once, of a finished recipe. ``strangers`` is ``evaluate --strangers``, and beside it the whales of a
species that no class covers, before and after: one encounter, an example. ``fallback`` chooses the
least probability of a name where fewer than 8 encounters were held out: on survey seeds 0 to 19, and
reports it on seeds 100 to 139. ``misses`` counts held-out clips of simulated surveys that are called
nothing, by the level of their loudest signal. ``hours`` counts false detections and recall of the class
of nothing, of gates, and of both, in six hours by a recorder that was not in training.
"""

import argparse
import itertools
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import pseudorca as po
from pseudorca import simulation as sim
from pseudorca.backbones import load_backbone
from pseudorca.backbones.small_network import FRONT_END
from pseudorca.embedding.embedder import Embedder
from pseudorca.evaluation.encounter_accuracy import balanced_accuracy, paired_difference, rightness
from pseudorca.evaluation.least_probability import FALLBACK, LEAST_ENCOUNTERS
from pseudorca.evaluation.options import USUAL_ERROR
from pseudorca.frontends.common import CommonFrontEnd
from pseudorca.learning.calibration import calibrate_out_of_fold
from pseudorca.learning.crossval import OutOfFold, cross_validate
from pseudorca.learning.dataset import TrainingSet
from pseudorca.learning.false_alarms import HIGHEST
from pseudorca.learning.heads.base import fit_head
from pseudorca.learning.labelled import LabelledProject
from pseudorca.learning.nothing import nothing_rates
from pseudorca.learning.train import CALIBRATION
from pseudorca.learning.units import aggregate
from pseudorca.recordings.folds import Folds, make_folds
from pseudorca.simulation.animals import blend_groups
from pseudorca.simulation.species import PSEUDORCA, SHIFTING_TRAITS

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
WATKINS = DATA / "watkins-odontocetes"
RECIPES = {"none": po.Recipe(nothing="none"), "background": po.Recipe(nothing="background")}
SPLITS = ("encounter", "outing")
PARTS = ("nothing", "strangers", "fallback", "misses", "hours")
MISSES_ON, HOURS_SEED = range(100, 104), 104
LEVELS_DB, LEAST_DB = (-np.inf, 6, 12, 18, np.inf), 6.0
OTHERS = ("pypam_300s_8k", "pamguard_examples", "array_6ch_32k_24bit", "orcasound_stereo_48k")

CHOSEN_ON, REPORTED_ON = range(20), range(100, 140)
GRID = np.arange(0.2, 0.91, 0.05).round(2)
MIXES = {2: ((2, 3), (3, 3), (3, 4)), 3: ((2, 2, 2), (2, 2, 3)), 6: ((1, 1, 1, 2, 2, 2),)}
"""Encounters of each class that are learned from, by the number of classes."""
EFFECTS = (0.0, 2.0, 4.0, 6.0)
"""Cohen's d between two classes in the traits in which they differ, in turn over the seeds."""
N_FRESH, N_CLIPS, CLIP_S, RATE, LIKENESS = 4, 5, 2.0, 32_000, 0.7


def scored(whales: po.Project, recipe: po.Recipe, split: po.Split) -> tuple[Any, Folds, OutOfFold]:
    """Out-of-fold scores of a recipe: the clips, the folds and the scores."""
    labelled = LabelledProject.read(whales.store, recipe)
    folds = make_folds(labelled.clips, labelled.recordings, split)
    data = labelled.grouped(folds)
    return labelled.clips, folds, cross_validate(data, folds, labelled.trainer(split))


def compare(whales: po.Project, split: po.Split) -> None:
    """Print both recipes under one split, and their paired difference."""
    right: dict[str, pd.DataFrame] = {}
    for name, recipe in RECIPES.items():
        clips, folds, said = scored(whales, recipe, split)
        right[name] = rightness(clips, said, folds.units)
        estimate, _ = balanced_accuracy(right[name])
        span = f"[{estimate.low:.2f}, {estimate.high:.2f}]"
        print(f"| {split.name} | {name} | {estimate.value:.3f} {span} |")
        if said.p_nothing is not None:
            print(f"  called nothing: {nothing_rates(said, folds)}")
    both = right["none"].merge(
        right["background"], on=["encounter", "label"], suffixes=("_none", "")
    )
    difference = paired_difference(
        {"background": both["right"].to_numpy(), "none": both["right_none"].to_numpy()},
        both["label"].to_numpy(dtype=object),
        both["unit"].to_numpy(dtype=object),
        model="background",
        controls=["none"],
        seed=0,
    )
    print(
        f"  background minus none: {difference.value:+.3f} [{difference.low:+.3f}, "
        f"{difference.high:+.3f}]"
    )


def counts(of: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in of.items())


def nothing(whales: po.Project, *, elsewhere: bool) -> None:
    """Accuracy with and without a class of nothing, and what is said on other recorders."""
    for name in SPLITS:
        compare(whales, po.Split(name, n_repeats=3))
    for name, recipe in RECIPES.items():
        began = time.monotonic()
        whales.train(recipe, name=name, progress=False)
        print(f"train, {name}: {time.monotonic() - began:.1f} s")
    places = [DATA / "hydrophones" / other for other in OTHERS]
    places += [DATA / "elsewhere"] if elsewhere else []
    for place in places:
        for name in RECIPES:
            result = whales.predict(place, name, set_name=f"{name} {place.name}", progress=False)
            print(f"| {place.name} | {name} | {counts(result.recordings_per_class)} |")
            if place.name == "elsewhere":
                truth = result.recordings["path"].str.split("/").str[0]
                print(pd.crosstab(truth, result.recordings["decision"]).to_string())


def strangers(whales: po.Project) -> None:
    """Each species left out in turn, and the whales of no class at both limits."""
    for name, recipe in RECIPES.items():
        result = whales.evaluate(recipe, strangers=True, stricter=False, progress=False)
        found = result.strangers or {}
        print(f"\n{name}: {result.summary()[0]}")
        print("| left out | encounters named | limit | with it | recordings named | with limit |")
        print("|---|---|---|---|---|---|")
        for row in found["left_out"]:
            cells = [", ".join(row["classes"]), f"{row['limit']:.2f}"]
            for unit in ("encounter", "recording"):
                before, after = (row["units"][unit][when] for when in ("before", "after"))
                span = f"[{before['low']:.2f}, {before['high']:.2f}]"
                cells += [
                    f"{before['share']:.2f} {span} of {row['n'][unit]}",
                    f"{after['share']:.2f}",
                ]
            print(f"| {' | '.join(cells[k] for k in (0, 2, 1, 3, 4, 5))} |")
        for unit in ("encounter", "recording"):
            print(f"all, {unit}s: {found['overall'][unit]}; known: {found['known'][unit]}")
        print(found["limit"])
        whales.train(recipe, name=name, progress=False)
        for limit in (np.inf, 1.0, found["limit"]["chosen"]):
            said = whales.predict(
                None, name, set_name=f"{name} unknown", max_novelty=limit, progress=False
            )
            print(f"Unknown, limit {limit:g}: {counts(said.recordings_per_class)}")


def classes_of(seed: int) -> tuple[list[sim.Species], np.random.Generator]:
    """Six populations that differ by chance in the direction of every trait."""
    rng = np.random.default_rng([15, seed])
    effect = EFFECTS[seed % len(EFFECTS)]
    made = []
    for number in range(max(MIXES)):
        traits = dict(PSEUDORCA.traits)
        for name in SHIFTING_TRAITS:
            trait = traits[name]
            traits[name] = trait._replace(centre=trait.at(rng.choice((-1, 1)) * effect / 2))
        made.append(replace(PSEUDORCA, name=f"class {number}", traits=traits))
    return made, rng


def encounter_sounds(
    rng: np.random.Generator, species: sim.Species
) -> Iterator[NDArray[np.float32]]:
    """The clips of one encounter: the same recorder, and alike in sea and animals."""
    recorder = sim.draw_recorder(rng, sample_rate=RATE)
    world, group = sim.draw_world(rng), sim.draw_group(rng)
    for _ in range(N_CLIPS):
        heard, _ = sim.simulate_clip(
            rng, species, world, recorder, CLIP_S, require=("whistle",), min_snr_db=3.0,
            group=blend_groups(group, sim.draw_group(rng), LIKENESS),
        )  # fmt: skip
        yield heard[0]


def survey_of(seed: int, embedder: Embedder) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Clips of all encounters of a seed and their embeddings; the first encounters are learned from."""
    species, rng = classes_of(seed)
    rows, sounds = [], []
    for one in species:
        for number in range(4 + N_FRESH):
            for k, sound in enumerate(encounter_sounds(rng, one)):
                name = f"{one.name}.{number}"
                rows.append((f"{name}.{k}", one.name, name, number))
                sounds.append(sound)
    clips = pd.DataFrame(rows, columns=["clip_id", "label", "encounter", "number"])
    clips = clips.assign(
        recording_id=clips["clip_id"], moment_id=clips["clip_id"], start_s=0.0, end_s=CLIP_S
    )
    vectors = [
        embedder.vectors(sounds[start : start + 32], sample_rate=RATE)
        for start in range(0, len(sounds), 32)
    ]
    return clips, np.concatenate(vectors)


def names_given(
    clips: pd.DataFrame, vectors: NDArray[np.float32], sizes: Sequence[int]
) -> pd.DataFrame:
    """What a classifier of a few encounters says of encounters that it never heard."""
    labels = sorted(clips["label"].unique())[: len(sizes)]
    n_of = dict(zip(labels, sizes, strict=True))
    limit = clips["label"].map(n_of).fillna(-1)
    learned = np.flatnonzero(clips["number"] < limit)
    fresh = np.flatnonzero(clips["label"].isin(labels) & (clips["number"] >= 4))
    inside = clips.iloc[learned].reset_index(drop=True)
    recordings = clips[["recording_id", "moment_id", "encounter"]].assign(metadata="{}")
    folds = make_folds(inside, recordings, CALIBRATION)
    tested = inside.loc[(folds.test_fold >= 0).any(axis=0), "encounter"].nunique()
    assert tested < LEAST_ENCOUNTERS
    texts = [inside[name].to_numpy(dtype=object) for name in ("label", "encounter", "recording_id")]
    data = TrainingSet(vectors[learned], *texts)
    head = RECIPES["none"].trainer()
    said = cross_validate(replace(data, groups=folds.units), folds, head)
    scores = fit_head(head, data).log_probabilities(vectors[fresh])
    tables = []
    for unit in ("recording", "encounter"):
        calibrator = calibrate_out_of_fold(
            inside, recordings, said.log_probabilities, folds, said.classes, unit=unit
        ).calibrator
        units = aggregate(clips.iloc[fresh], recordings, scores, unit)
        n_moments = units.table["n_moments"].to_numpy(np.int64)
        probabilities = np.exp(calibrator.log_probabilities(units.log_probabilities, n_moments))
        named = np.array(said.classes, dtype=object)[probabilities.argmax(axis=1)]
        right = named == units.table["label"].to_numpy(dtype=object)
        tables.append(
            pd.DataFrame({"unit": unit, "probability": probabilities.max(axis=1), "right": right})
        )
    return pd.concat(tables)


def fallback_surveys(seeds: range) -> pd.DataFrame:
    """The names that classifiers of few encounters give, for each seed and number of classes."""
    embedder = Embedder(
        CommonFrontEnd.in_band("16k", **FRONT_END), load_backbone("pseudorca_small"), "cpu"
    )
    tables = []
    for seed in seeds:
        clips, vectors = survey_of(seed, embedder)
        for n_classes, mixes in MIXES.items():
            sizes = mixes[seed % len(mixes)]
            table = names_given(clips, vectors, sizes)
            effect = EFFECTS[seed % len(EFFECTS)]
            tables.append(table.assign(seed=seed, effect=effect, classes=n_classes))
    return pd.concat(tables, ignore_index=True)


def shares(table: pd.DataFrame, threshold: float) -> tuple[float, float, float]:
    """Shares: of the names that are wrong, of units without a name, of units with a wrong name."""
    named = table["probability"] >= threshold
    wrong = named & ~table["right"]
    of_names = float(wrong.sum() / named.sum()) if named.any() else float("nan")
    return of_names, 1 - float(named.mean()), float(wrong.mean())


def most_wrong(table: pd.DataFrame, threshold: float) -> float:
    """The largest share of encounters with a wrong name, whatever the effect and number of classes."""
    cells = table[table["unit"] == "encounter"].groupby(["classes", "effect"])
    return max(shares(cell, threshold)[2] for _, cell in cells)


def fallback() -> None:
    """Choose the least probability of a name on some surveys and report it on others.

    Where there is nothing to tell apart, names are wrong above every threshold. So the lowest one is
    taken at which, whatever the effect and the number of classes, at most a quarter of the encounters
    get a wrong name.
    """
    began = time.process_time()
    table = fallback_surveys(CHOSEN_ON)
    print("names wrong / undecided, of encounters; most encounters wrongly named in any world")
    print(f"| least probability | {' | '.join(f'{n} classes' for n in MIXES)} | most |")
    print("|---|---|---|---|---|")
    chosen = None
    for threshold in GRID:
        most = most_wrong(table, threshold)
        cells = [cell_text(table, "encounter", n, threshold) for n in MIXES]
        print(f"| {threshold:.2f} | {' | '.join(cells)} | {most:.2f} |")
        if chosen is None and most <= USUAL_ERROR:
            chosen = float(threshold)
    print(
        f"chosen: {chosen} (in use: {FALLBACK}); {time.process_time() - began:.0f} s of processor"
    )
    report = fallback_surveys(REPORTED_ON)
    print("\nreported once: names wrong / undecided")
    for threshold, unit in itertools.product((0.0, chosen or 1.0), ("encounter", "recording")):
        cells = [cell_text(report, unit, n, threshold) for n in MIXES]
        print(f"| {unit}s, from {threshold:.2f} on | {' | '.join(cells)} |")
    print(f"most encounters wrongly named in any world: {most_wrong(report, chosen or 1.0):.2f}")
    for effect, part in report.groupby("effect"):
        cells = [cell_text(part, "encounter", n, chosen or 1.0) for n in MIXES]
        print(f"| encounters, effect {effect:g} | {' | '.join(cells)} |")
    print(f"{time.process_time() - began:.0f} s of processor")


def cell_text(table: pd.DataFrame, unit: str, n_classes: int, threshold: float) -> str:
    part = table[(table["unit"] == unit) & (table["classes"] == n_classes)]
    of_names, undecided, _ = shares(part, threshold)
    return f"{of_names:.2f} / {undecided:.2f}"


def simulated(folder: Path, seed: int) -> po.Project:
    """A project on a simulated survey of two populations, embedded by the network in the box."""
    config = sim.SurveyConfig(
        seed=seed, n_unknown_encounters=0, n_unknown_clips=0, max_channels=1, insular_clips=0.5,
        insular_encounters=0.5,
    )  # fmt: skip
    sim.simulate_survey(folder / "survey", config)
    recordings = folder / "survey" / "recordings"
    whales = po.Project.create(folder / "project", recordings, progress=False)
    whales.embed(progress=False)
    return whales


def misses() -> None:
    """Held-out clips called nothing, by class and by the level of their loudest signal."""
    parts = []
    for seed in MISSES_ON:
        with tempfile.TemporaryDirectory() as name:
            whales = simulated(Path(name), seed)
            clips, _, said = scored(whales, po.Recipe(), po.Split("encounter"))
            signals = pd.read_csv(Path(name, "survey", "truth", "signals.csv"))
        loudest = signals.groupby("path")["snr_db"].max()
        path_of = whales.recordings.set_index("recording_id")["path"]
        paths = "recordings/" + clips["recording_id"].map(path_of)
        missed = said.p_nothing[0] > HIGHEST
        parts.append(clips.assign(level=paths.map(loudest), missed=missed))
        of_background = said.p_nothing_of_background[0]
        told = np.mean(of_background[np.isfinite(of_background)] > HIGHEST)
        print(f"seed {seed}: {np.mean(missed):.3f} of clips, {told:.3f} of backgrounds are nothing")
    table = pd.concat(parts)
    table["level"] = pd.cut(table["level"], LEVELS_DB)
    print(table.groupby(["label", "level"], observed=True)["missed"].agg(["mean", "size"]).round(3))


def hours() -> None:
    """False detections and recall, window by window, in hours whose signals are known."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whales = simulated(folder, HOURS_SEED)
        config = sim.SurveyConfig(
            seed=HOURS_SEED + 1, n_encounters=2, n_clips=2, n_unknown_encounters=0,
            n_unknown_clips=0, n_long=6, long_s=3600.0, sample_rate=24_000, max_channels=1,
            recorders=("moored_24bit",), platforms=("Mooring",),
        )  # fmt: skip
        sim.simulate_survey(folder / "hours", config)
        signals = pd.read_csv(folder / "hours" / "truth" / "signals.csv")
        signals["path"] = signals["path"].str.removeprefix("recordings/Unknown/")
        print("| | false windows an hour | false detections an hour | recall from 6 dB on |")
        windows = None
        for recipe, gate_db in itertools.product(RECIPES, (None, 12.0, 14.0, 16.0)):
            if gate_db is None:
                whales.train(RECIPES[recipe], name=recipe, progress=False)
            result = whales.predict(
                folder / "hours" / "recordings" / "Unknown", recipe, gate_db=gate_db,
                set_name=f"{recipe} {gate_db}", min_probability=0.0, max_novelty=1e9, progress=False,
            )  # fmt: skip
            if windows is None:  # the first passes over none
                windows = with_levels(result.clips[["path", "start_s", "end_s"]], signals)
            false, runs, recall = detected(windows, result.clips)
            print(f"| {recipe}, gate {gate_db} | {false:.1f} | {runs:.1f} | {recall:.2f} |")


def with_levels(windows: pd.DataFrame, signals: pd.DataFrame) -> pd.DataFrame:
    """Windows with the level of their loudest signal in dB; -inf: none."""
    windows = windows.assign(level=-np.inf)
    for path, rows in windows.groupby("path"):
        start, end = rows["start_s"].to_numpy(), rows["end_s"].to_numpy()
        level = np.full(len(rows), -np.inf)
        for signal in signals[signals["path"] == path].itertuples():
            holds = (start < signal.end_s) & (end > signal.start_s)
            level[holds] = np.maximum(level[holds], signal.snr_db)
        windows.loc[rows.index, "level"] = level
    return windows


def detected(windows: pd.DataFrame, clips: pd.DataFrame) -> tuple[float, float, float]:
    """Named windows, and detections, an hour of time without signal; recall of signals from 6 dB."""
    found = windows.merge(
        clips[["path", "start_s", "decision"]], on=["path", "start_s"], how="left"
    )
    named = found["decision"].notna() & ~found["decision"].isin(("nothing", "undecided"))
    is_quiet = found["level"] == -np.inf
    hours_quiet = is_quiet.sum() * 3.0 / 3600
    begins = named & ~named.groupby(found["path"]).shift(fill_value=False)
    run = begins.groupby(found["path"]).cumsum()
    has_signal = (~is_quiet[named]).groupby([found["path"][named], run[named]]).any()
    recall = named[found["level"] >= LEAST_DB].mean()
    false = named[is_quiet].sum() / hours_quiet
    return float(false), float((~has_signal).sum() / hours_quiet), float(recall)


def main() -> None:
    """Run every part and print one table each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("part", nargs="?", choices=PARTS)
    parser.add_argument("--elsewhere", action="store_true", help="Ask the recorders never seen.")
    options = parser.parse_args()
    if options.part in (None, "nothing", "strangers"):
        with tempfile.TemporaryDirectory() as folder:
            whales = po.Project.create(
                Path(folder, "whales"), WATKINS, metadata=WATKINS / "metadata.csv", progress=False
            )
            began = time.monotonic()
            whales.embed(progress=False)
            print(f"embed: {time.monotonic() - began:.1f} s")
            if options.part in (None, "nothing"):
                nothing(whales, elsewhere=options.elsewhere)
            if options.part in (None, "strangers"):
                strangers(whales)
    if options.part in (None, "fallback"):
        with threadpool_limits(1):
            fallback()
    if options.part in (None, "misses"):
        misses()
    if options.part in (None, "hours"):
        hours()


if __name__ == "__main__":
    main()
