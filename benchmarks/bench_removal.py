"""What each way to remove the recorder does: to animals, and to recorders.

    python benchmarks/bench_removal.py --keep FOLDER [--seeds 3] [--only watkins,simulated] [--table]

Real recordings (``../shared/data/watkins-odontocetes``: six species, 34 labelled encounters) under a
random split, by encounter, and leave-one-outing-out; and simulated surveys whose truth is known: one
in which nothing but the recorder differs, where the score by encounter must fall to chance if the
recorder is removed, and one in which only the animals differ, where it must stay. Every way stands
beside the same network without it (paired, on the same folds) and beside a control that hears only
the clips' background, prepared in the same way.

Everything is kept in FOLDER: a run that was stopped goes on; ``results.json`` has all numbers,
``--table`` prints them as they stand in ``docs/removal.md``.
"""

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pseudorca.backbones import load_backbone
from pseudorca.backbones.registry import backbone_info
from pseudorca.compare.choosing import word
from pseudorca.embedding.augmentation.alterations import ViewOptions
from pseudorca.embedding.augmentation.copies import ViewSet, embed_views, keep_view_set, referring
from pseudorca.embedding.embedder import Embedder
from pseudorca.embedding.stream import embed_clips
from pseudorca.evaluation.encounter_accuracy import paired_difference
from pseudorca.evaluation.metrics import measure as unit_metrics
from pseudorca.evaluation.metrics import unit_truth
from pseudorca.frontends.registry import make_front_end
from pseudorca.learning.crossval import cross_validate
from pseudorca.learning.dataset import labelled_clips
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.preparation import PLAIN, Preparation, prepared_set
from pseudorca.learning.recipe import Recipe
from pseudorca.recordings.clips import project_clips
from pseudorca.recordings.folds import Folds, Split, make_folds
from pseudorca.recordings.manifest import ScanOptions
from pseudorca.recordings.scan import scan_project
from pseudorca.simulation import SurveyConfig, simulate_survey
from pseudorca.store import Store

SHARED = Path(__file__).resolve().parents[2] / "shared"
NETWORKS = {"pseudorca_small": "official", "mn04_as": str(SHARED / "weights/mn04_as_mAP_432.pt")}
N_VIEWS = 3

REAL = {
    "random": Split("random", n_folds=5, n_repeats=1),
    "encounter": Split("encounter", n_folds=3, n_repeats=5),
    "outing": Split("leave-one-outing-out"),
}
BY_ENCOUNTER = {"encounter": Split("encounter", n_folds=4, n_repeats=3)}
SURVEY = {
    "n_clips": 80, "n_encounters": 16, "insular_clips": 0.4, "insular_encounters": 0.4,
    "n_unknown_encounters": 0, "n_unknown_clips": 0, "max_channels": 1,
    "encounter_signature": 0.7,
}  # fmt: skip
WORLDS: dict[str, dict[str, Any]] = {
    "only the recorder differs": {"effect": 0.0, "confound": 1.0},
    "only the animals differ": {"effect": 3.0, "confound": 0.0},
}


@dataclass(frozen=True)
class Way:
    """A way to prepare: front-end settings, views, and what is made of embeddings."""

    preparation: Preparation = PLAIN
    band: str = "16k"
    settings: tuple[tuple[str, Any], ...] = ()
    with_seas: bool = True

    @property
    def is_front_end(self) -> bool:
        return bool(self.settings) or self.band != "16k"


WAYS: dict[str, Way] = {
    "plain": Way(),
    "minus background": Way(Preparation(reference="minus")),
    "beside background": Way(Preparation(reference="beside")),
    "centred by recorder": Way(Preparation(centre="RECORDER")),
    "whitened by recorder": Way(Preparation(centre="RECORDER", scale=True)),
    "centred by encounter": Way(Preparation(centre="encounter")),
    "centred by recording": Way(Preparation(centre="recording")),
    "band common": Way(band="common"),
    "rows minus median": Way(settings=(("background", "median"),)),
    "rows minus quartile": Way(settings=(("background", "quartile"),)),
    "views": Way(Preparation(views=True)),
    "test views": Way(Preparation(test_views=True)),
    "views, test views": Way(Preparation(views=True, test_views=True)),
    "views, no other sea": Way(Preparation(views=True), with_seas=False),
    "minus background, views, test views": Way(
        Preparation(views=True, test_views=True, reference="minus")
    ),
}
"""RECORDER stands for the platform, or where none is known for the sample rate."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, default=Path("removal"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="watkins,simulated")
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--ways", help="only these, by semicolons")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    results = given.keep / "results.json"
    found = json.loads(results.read_text()) if results.exists() else {}
    if given.table:
        print_tables(found)
        return
    given.keep.mkdir(parents=True, exist_ok=True)
    for network in given.networks.split(","):
        for name, make, splits in cases(given.keep, given.only.split(","), given.seeds):
            done = found.setdefault(f"{network} | {name}", {})
            wanted = ways_of(network, given.ways)
            if any(way not in done for way in wanted):
                measure(make(), network, splits, wanted, done, lambda: keep(results, found))
    print_tables(found)


def keep(path: Path, found: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(found, indent=1) + "\n")


def cases(folder: Path, only: list[str], seeds: int) -> list[tuple[str, Any, dict[str, Split]]]:
    """What is measured on: name, how to make its project, splits."""
    found: list[tuple[str, Any, dict[str, Split]]] = []
    if "watkins" in only:
        found.append(("watkins", lambda: watkins(folder / "watkins"), REAL))
    if "simulated" in only:
        for seed in range(seeds):
            for k, (name, world) in enumerate(WORLDS.items()):
                at = folder / f"survey_{k}_{seed}"
                found.append(
                    (
                        f"{name}, seed {seed}",
                        lambda at=at, w=world, s=seed: survey(at, w, s),
                        BY_ENCOUNTER,
                    )
                )
    return found


def watkins(folder: Path) -> Store:
    data = SHARED / "data/watkins-odontocetes"
    store = Store(folder, create=True)
    if store.read("recordings").empty:
        scan_project(store, data, ScanOptions(metadata=data / "metadata.csv"))
    return store


def survey(folder: Path, world: dict[str, Any], seed: int) -> Store:
    if not (folder / "survey" / "truth" / "survey.json").exists():
        simulate_survey(folder / "survey", SurveyConfig(seed=seed, **(SURVEY | world)))
    store = Store(folder / "project", create=True)
    if store.read("recordings").empty:
        scan_project(store, folder / "survey" / "recordings", ScanOptions())
    return store


def ways_of(network: str, only: str | None = None) -> dict[str, Way]:
    """Those that are wished for, and ``plain``; a network on sound has its own front end."""
    on_sound = network != "pseudorca_small"
    wished = ["plain", *only.split(";")] if only else list(WAYS)
    return {name: WAYS[name] for name in wished if not (on_sound and WAYS[name].is_front_end)}


def measure(
    store: Store,
    network: str,
    splits: Mapping[str, Split],
    ways: Mapping[str, Way],
    done: dict[str, Any],
    save: Any,
) -> None:
    """Add a result per way to ``done``."""
    recordings = store.read("recordings")
    every = project_clips(store)
    every = every[every["label"].notna()].reset_index(drop=True)
    recorder = "platform" if recordings["platform"].notna().any() else "sample_rate"
    rates = recordings[recordings["label"].notna()]["sample_rate"].tolist()
    controls: dict[tuple[Any, ...], Any] = {}
    for name, way in ways.items():
        if name in done:
            continue
        began, cpu = time.monotonic(), time.process_time()
        preparation = way.preparation
        if preparation.centre == "RECORDER":
            preparation = replace(preparation, centre=recorder)
        embedder = make_embedder(network, way, min(rates))
        embed_clips(every, recordings, embedder, store)
        background = referring(embedder)
        embed_clips(every, recordings, background, store)
        options = ViewOptions.of({} if way.with_seas else {"background_db": None}, rates)
        views = ViewSet(options, N_VIEWS, N_VIEWS)
        if preparation.views or preparation.test_views:
            with_backgrounds = preparation.reference != "none"
            embed_views(
                every, recordings, embedder, store, views, with_backgrounds=with_backgrounds
            )
        keep_view_set(store, embedder.embedder_id, views)
        clips, _ = labelled_clips(every, recordings, store, embedder.embedder_id)
        data, _ = prepared_set(clips, recordings, store, embedder, preparation, labelled=every)
        there = store.embedded(background.embedder_id, clips["clip_id"].tolist())
        control_of = replace(preparation, views=False, test_views=False, reference="none")
        heard = clips["clip_id"].isin(there)
        control, _ = prepared_set(
            clips[heard].reset_index(drop=True), recordings, store, background, control_of
        )
        whole = np.zeros((len(clips), control.vectors.shape[1]), dtype=np.float32)
        whole[heard.to_numpy()] = control.vectors
        entry: dict[str, Any] = {}
        for split_name, split in splits.items():
            folds = make_folds(clips, recordings, split)
            scores = score(data, folds, split, Recipe(preparation=preparation).trainer())
            same = (split_name, embedder.embedder_id, preparation.centre, preparation.scale)
            if same not in controls:
                behind = replace(data, vectors=whole, blocks=(), views=None, heard_again=None)
                controls[same] = score(behind, folds, split, LogisticHead())
            behind = controls[same]
            for unit in ("recording", "encounter"):
                key = f"{split_name}, {unit}"
                row, right = judged(clips, recordings, scores, split, folds, data, unit)
                row["control"], other = judged(clips, recordings, behind, split, folds, data, unit)
                if name == "plain":
                    row["right"] = right["right"].tolist()
                plain = row if name == "plain" else done["plain"][key]
                row["against_plain"] = difference(right, {"right": np.array(plain["right"])})
                row["against_control"] = difference(right, other)
                entry[key] = row
        took = {"seconds": time.monotonic() - began, "cpu_s": time.process_time() - cpu}
        done[name] = entry | {key: round(value, 1) for key, value in took.items()}
        save()
        shown = {key: round(row["balanced_accuracy"], 3) for key, row in entry.items()}
        print(network, "|", store.folder, "|", name, shown, took, flush=True)


def make_embedder(network: str, way: Way, lowest_rate: int) -> Embedder:
    info = backbone_info(network)
    backbone = load_backbone(network, weights=NETWORKS[network])
    settings = dict(backbone.front_end_settings or info.front_end_settings) | dict(way.settings)
    front_end = make_front_end(
        info.front_end or "common", band=way.band, lowest_rate=lowest_rate, settings=settings
    )
    return Embedder(front_end, backbone)


def score(data: Any, folds: Folds, split: Split, head: Any) -> Any:
    groups = data.recordings if split.is_optimistic else folds.units
    return cross_validate(replace(data, groups=groups), folds, head)


def judged(
    clips: pd.DataFrame,
    recordings: pd.DataFrame,
    scored: Any,
    split: Split,
    folds: Folds,
    data: Any,
    unit: str,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The result of a unit, and which units were named rightly."""
    independent = data.groups if split.is_optimistic else folds.units
    row = unit_metrics(
        clips, recordings, scored.log_probabilities, scored.classes,
        unit=unit, split=split.name, groups=independent,
    )  # fmt: skip
    truth = unit_truth(clips, recordings, scored.log_probabilities, unit=unit, groups=independent)
    actual = np.array([scored.classes.index(label) for label in truth.labels])
    right = (truth.log_probabilities.argmax(axis=2) == actual).mean(axis=0)
    kept = ("balanced_accuracy", "ci_low", "ci_high", "n_units", "n_groups", "majority_baseline")
    return {key: row[key] for key in kept}, {"right": right, "truth": truth}


def difference(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Paired difference with its interval, and whether it may be called one."""
    truth = one["truth"]
    found = paired_difference(
        {"one": one["right"], "other": other["right"]}, truth.labels, truth.groups,
        model="one", controls=["other"],
    )  # fmt: skip
    counts = pd.DataFrame({"label": truth.labels, "group": truth.groups})
    smallest = int(counts.groupby("label")["group"].nunique().min())
    return found.as_dict() | {"word": word(found, smallest), "smallest_class": smallest}


def print_tables(found: Mapping[str, Any]) -> None:
    for network in NETWORKS:
        real = found.get(f"{network} | watkins")
        if real:
            print_real(network, real)
        for world in WORLDS:
            runs = [value for key, value in found.items() if key.startswith(f"{network} | {world}")]
            if runs:
                print_world(network, world, runs)


def print_real(network: str, real: Mapping[str, Any]) -> None:
    keys = [
        "random, recording",
        "encounter, encounter",
        "encounter, recording",
        "outing, recording",
    ]
    print(f"\n### {network}, Watkins\n\n| way | " + " | ".join(keys) + " | control, by encounter |")
    print("|---" * (len(keys) + 2) + "|")
    for name, entry in ((name, real[name]) for name in WAYS if name in real):
        cells = []
        for key in keys:
            row = entry[key]
            text = f"{row['balanced_accuracy']:.3f}"
            if key != "random, recording":
                text += f" ({row['ci_low']:.2f} to {row['ci_high']:.2f})"
                gain = row["against_plain"]
                if name != "plain":
                    text += f"; {gain['value']:+.3f} [{gain['low']:+.2f}, {gain['high']:+.2f}]"
            cells.append(text)
        control = entry["encounter, encounter"]["control"]["balanced_accuracy"]
        print(f"| {name} | " + " | ".join(cells) + f" | {control:.3f} |")


def print_world(network: str, world: str, runs: list[Mapping[str, Any]]) -> None:
    print(f"\n### {network}, {world}, {len(runs)} surveys\n")
    print("| way | recordings | encounters | against plain (recordings) | control (recordings) |")
    print("|---|---|---|---|---|")
    for name in WAYS:
        done = [run[name] for run in runs if name in run]
        if not done:
            continue

        def spread(values: list[float]) -> str:
            return f"{np.mean(values):.2f} [{min(values):.2f}, {max(values):.2f}]"

        recording = [one["encounter, recording"] for one in done]
        cells = [
            spread([one["balanced_accuracy"] for one in recording]),
            spread([one["encounter, encounter"]["balanced_accuracy"] for one in done]),
            spread([one["against_plain"]["value"] for one in recording]),
            spread([one["control"]["balanced_accuracy"] for one in recording]),
        ]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
