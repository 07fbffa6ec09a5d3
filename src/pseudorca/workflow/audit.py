"""Animals or recorders: every control beside the model, and a verdict that is kept."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.assessment import controls as facts
from pseudorca.assessment.audit import (
    balanced_accuracy,
    decide_verdict,
    knows_recorder,
    leakage_gap,
    paired_difference,
    rightness,
    swap_outcome,
    swap_partners,
)
from pseudorca.assessment.audit_words import sentences
from pseudorca.assessment.inference import Permutations, permutation_test
from pseudorca.errors import FoldError
from pseudorca.features.backgrounds import (
    N_BANDS,
    BackgroundFrontEnd,
    BandFrontEnd,
    band_edges_hz,
    heard_band,
)
from pseudorca.features.common import CommonFrontEnd
from pseudorca.features.embedder import Embedder, load_embedder
from pseudorca.features.embedding import embed_clips
from pseudorca.features.front_ends import FrontEnd
from pseudorca.features.parts import embed_swaps, measure_sounds
from pseudorca.learning.crossval import cross_validate
from pseudorca.learning.heads import Head
from pseudorca.learning.training_set import (
    OTHER,
    TrainingSet,
    labelled_clips,
    make_training_set,
)
from pseudorca.recordings.folds import Split, group_values, make_folds
from pseudorca.recordings.notices import few_encounters
from pseudorca.store import EMBEDDER_FOLDER, Store, package_versions
from pseudorca.workflow.clips import project_clips
from pseudorca.workflow.project import Progress, hash_of, plain_value, project_recordings

MODEL = "model"
N_PICTURE_BANDS = 5
"""Bands of the picture that are heard alone and left out."""


@dataclass(frozen=True)
class AuditOptions:
    """What an audit does."""

    n_permutations: int = 199
    seed: int = 0
    within: str | None = None
    """Labels are permuted only between units of equal value in this column, such as platform."""
    clips_per_encounter: int = 20
    """At most so many clips of an encounter are heard, spread evenly over it."""
    quick: bool = False
    """Only what the verdict needs: the model, the facts and the background."""


@dataclass
class _Heard:
    """What an audit hears: the sampled clips with the model's embeddings, and the split."""

    clips: pd.DataFrame
    recordings: pd.DataFrame
    data: TrainingSet
    units: NDArray[np.object_]
    split: Split
    head: Head

    @property
    def encounters(self) -> NDArray[np.object_]:
        return self.clips["encounter"].to_numpy(dtype=object)

    def with_features(self, features: NDArray[np.float32]) -> TrainingSet:
        return replace(self.data, vectors=features)

    def right(self, features: NDArray[np.float32], split: Split | None = None) -> pd.DataFrame:
        """Cross-validate a feature set and say which encounters it named rightly."""
        folds = make_folds(self.clips, self.recordings, split or self.split)
        groups = self.data.recordings if folds.split.is_optimistic else folds.units
        data = replace(self.with_features(features), groups=groups)
        scored = cross_validate(data, folds, self.head)
        return rightness(self.clips, self.recordings, scored, self.units)


def audit_project(
    store: Store,
    head: Head,
    split: Split,
    options: AuditOptions | None = None,
    *,
    device: str = "auto",
    batch_size: int = 32,
    n_workers: int | None = None,
    progress: Progress | None = None,
    stage: Callable[[str], Any] = lambda text: None,
) -> dict[str, Any]:
    """Compare the model with controls that hear no animal, and keep what came out.

    Raises
    ------
    FoldError
        If the split is one that tears encounters apart.
    """
    options = options or AuditOptions()
    if split.is_optimistic:
        raise FoldError(
            f"the split {split.name!r} leaves clips of one encounter on both sides: there every "
            "control does well. Audit with encounter, or something coarser."
        )
    embedder = load_embedder(store.folder / EMBEDDER_FOLDER, device=device)
    recordings = project_recordings(store)
    clips, notices = labelled_clips(project_clips(store), recordings, store, embedder.embedder_id)
    clips = clips[clips["label"] != OTHER].reset_index(drop=True)
    n_labelled = len(clips)
    clips = sample_clips(clips, recordings, options.clips_per_encounter)
    data = make_training_set(clips, recordings, store, embedder.embedder_id)
    folds = make_folds(clips, recordings, split)
    data = replace(data, groups=folds.units)
    heard = _Heard(clips, recordings, data, folds.units, split, head)
    if len(clips) < n_labelled:
        notices.append(
            f"{len(clips)} of {n_labelled} labelled clips were heard: at most "
            f"{options.clips_per_encounter} of an encounter, spread evenly over it."
        )
    notices += few_encounters(recordings[recordings["label"].isin(clips["label"])])
    listening = _Listening(store, embedder, heard, batch_size, n_workers, progress, stage)

    stage("Looking for frames without signal")
    sound = listening.sounds()
    stage("Listening to the background alone")
    background = listening.background(sound)
    notices += background.pop("notices")
    nuisance = _nuisance_sets(heard, sound, background["vectors"])
    within = None
    if options.within:
        within = group_values(clips, recordings, options.within).to_numpy(dtype=object)
    stage("Permuting labels between encounters")
    tested = permutation_test(
        {MODEL: data} | {name: heard.with_features(x) for name, x in nuisance.items()},
        clips, recordings, split, head, n_permutations=options.n_permutations, seed=options.seed,
        within=within, progress=progress,
    )  # fmt: skip

    names = list(nuisance)
    units = pd.DataFrame({"label": tested.labels, "unit": tested.units})
    counts = units.groupby("label")["unit"].nunique()
    units_per_class = {str(label): int(n) for label, n in counts.items()}
    judged = _judge(tested, names, units_per_class, options.seed)
    heard_only = [name for name in names if name.startswith("background")]
    rows = [_tested_row(tested, name, "model" if name == MODEL else "nuisance")
            for name in (MODEL, *names)]  # fmt: skip
    found: dict[str, Any] = {
        **judged,
        "by_background_alone": _judge(tested, heard_only, units_per_class, options.seed),
        "p_model": tested.p_value(MODEL),
        "smallest_p": tested.smallest_p,
        "n_permutations": len(tested.null[MODEL]),
        "enumerated": tested.enumerated,
        "chance": 1 / len(units_per_class),
        "classes": sorted(units_per_class),
        "units_per_class": units_per_class,
        "n_encounters": len(tested.labels),
        "n_clips": len(clips),
        "n_labelled_clips": n_labelled,
        "background": background["about"],
        "associations": [],
    }
    associations = facts.associations(clips, recordings)
    found["associations"] = [_association(one) for one in associations]
    found["answerable"], found["why"] = facts.answerable(associations)
    if not options.quick:
        rows += _shown_rows(heard, sound)
        stage("Random split beside the honest one")
        honest = heard.right(data.vectors)
        random = heard.right(data.vectors, replace(split, name="random"))
        rows.append(_row("random split", "optimistic", random))
        found["leakage_gap"] = leakage_gap(random, honest, seed=options.seed).as_dict()
        stage("Swapping backgrounds")
        found["swap"] = listening.swap(sound, options.seed)
        stage("Listening to one band at a time")
        found["bands"] = listening.bands(sound)
        found["recorder_in_embeddings"] = _knows(heard)
    found["controls"] = rows
    found |= sentences(found)
    about = {
        "split": asdict(split), "group_by": split.group_by, "options": asdict(options),
        "recipe": {"embedder_id": embedder.embedder_id, "head": head.settings()},
        "background_settings": listening.front_end.settings()["background_only"],
        "versions": package_versions(),
        "tables": {table: store.version(table) for table in ("recordings", "clips")},
        "notices": notices,
    }  # fmt: skip
    keep_audit(store, about, found)
    return {"audit_id": audit_id_of(about)} | found | about


def sample_clips(clips: pd.DataFrame, recordings: pd.DataFrame, most: int) -> pd.DataFrame:
    """Take at most so many clips of each encounter, spread evenly in time.

    Parameters
    ----------
    clips, recordings : DataFrame, the tables of these names
    most : int, clips per encounter and label
    """
    start = recordings.set_index("recording_id")[["start_utc", "path"]]
    order = clips.join(start, on="recording_id").sort_values(
        ["start_utc", "path", "start_s", "channel"], na_position="last"
    )
    kept = []
    for _, mine in order.groupby(["encounter", "label"], sort=False):
        rows = mine.index.to_numpy()
        if len(rows) > most:
            rows = rows[np.linspace(0, len(rows) - 1, most).round().astype(int)]
        kept.append(rows)
    return clips.loc[np.sort(np.concatenate(kept))].reset_index(drop=True)


def keep_audit(store: Store, about: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Put an audit in the table ``audits``, in the place of an earlier one of the same settings."""
    audit_id = audit_id_of(about)
    row = {
        "audit_id": audit_id,
        "time_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "result": json.dumps(dict(about) | dict(found), default=plain_value),
    }
    store.replace("audits", pd.DataFrame([row]), audit_id=audit_id)
    settings = {key: about[key] for key in ("split", "options", "recipe")}
    store.record_run("audit", settings, ("recordings", "clips", "audits"))


def audit_id_of(about: Mapping[str, Any]) -> str:
    """Identifies recipe, split and settings of an audit."""
    return hash_of({key: about[key] for key in ("split", "options", "recipe")})


class _Listening:
    """The part of an audit that reads audio; everything it makes is kept in the store."""

    def __init__(
        self, store: Store, embedder: Embedder, heard: _Heard, batch_size: int,
        n_workers: int | None, progress: Progress | None, stage: Callable[[str], Any],
    ) -> None:  # fmt: skip
        self.store, self.embedder, self.heard = store, embedder, heard
        self.batch_size, self.n_workers, self.progress = batch_size, n_workers, progress
        self.stage = stage
        band = heard_band(embedder.front_end, int(heard.recordings["sample_rate"].max()))
        self.front_end = BackgroundFrontEnd(embedder.front_end, band)

    def sounds(self) -> NDArray[np.float32]:
        """What :func:`measure_sounds` says of each clip."""
        sound_id = f"sounds_{hash_of(self.front_end.settings()['background_only'])}"
        return measure_sounds(
            self.heard.clips, self.heard.recordings, self.front_end, self.store, sound_id,
            progress=self.progress,
        )  # fmt: skip

    def background(self, sound: NDArray[np.float32]) -> dict[str, Any]:
        """Embeddings of the background alone, NaN where there is none, and what is said of it."""
        clips, encounters = self.heard.clips, self.heard.encounters
        free = sound[:, 0] > 0
        vectors = np.full((len(clips), self.heard.data.vectors.shape[1]), np.nan, np.float32)
        if free.any():
            vectors[free] = self._embed(self.front_end, clips[free])
        without = clips[~free]
        silent = sorted(set(encounters) - set(encounters[free]))
        share = float(np.median(sound[free, 1])) if free.any() else 0.0
        counts = without["label"].value_counts().sort_index()
        per_class = {str(label): int(n) for label, n in counts.items()}
        about = {
            "n_clips_without": len(without),
            "encounters_without": silent,
            "clips_without_per_class": per_class,
            "median_share_free": share,
        }
        notices = []
        if len(without):
            shown = ", ".join(f"{k} {n}" for k, n in per_class.items())
            text = (
                f"{len(without)} of {len(clips)} clips have no frames without signal ({shown}); in the "
                "background controls they count as the mean of their encounter's other clips."
            )
            if silent:
                text += (
                    f" No clip has any in {', '.join(silent)}: there these controls know nothing."
                )
            notices.append(text)
        return {"vectors": vectors, "about": about, "notices": notices}

    def bands(self, sound: NDArray[np.float32]) -> dict[str, Any]:
        """Each band of the picture alone and left out, beside where the signals are."""
        edges = np.linspace(0, 1, N_PICTURE_BANDS + 1)
        hz = _edges_hz(self.embedder.front_end, edges, self.heard.recordings)
        rows = []
        for k, (low, high) in enumerate(pairwise(edges)):
            entry: dict[str, Any] = {"low_hz": hz[k], "high_hz": hz[k + 1]}
            for keep, name in ((True, "alone"), (False, "left_out")):
                self.stage(f"Listening to one band at a time ({2 * k + 1 + (not keep)} of "
                           f"{2 * N_PICTURE_BANDS})")  # fmt: skip
                drawn = BandFrontEnd(self.embedder.front_end, float(low), float(high), keep)
                estimate, _ = balanced_accuracy(self.heard.right(self._embed_all(drawn)))
                entry[name] = estimate.as_dict()
            rows.append(entry)
        excess = pd.DataFrame(sound[:, 2 + 2 * N_BANDS :])
        by_label = excess.groupby(self.heard.data.labels).median()
        return {
            "bands": rows,
            "signal_edges_hz": band_edges_hz(self.front_end.band_hz).tolist(),
            "signal_excess_db": {
                str(label): [float(x) if np.isfinite(x) else None for x in row]
                for label, row in zip(by_label.index, by_label.to_numpy(), strict=True)
            },
        }

    def swap(self, sound: NDArray[np.float32], seed: int) -> dict[str, Any] | None:
        """What heads that heard neither encounter make of swapped clips; None if none can be made."""
        heard = self.heard
        usable = (sound[:, 0] > 0) & np.isfinite(sound[:, -N_BANDS:]).any(axis=1)
        pairs = swap_partners(heard.clips, heard.units, usable, seed=seed)
        if pairs.empty:
            return None
        ids = heard.clips["clip_id"].to_numpy(dtype=object)
        signals, seas = ids[pairs["signal_row"]], ids[pairs["sea_row"]]
        both = [*zip(signals, seas, strict=True), *zip(signals, signals, strict=True)]
        swap_id = f"swaps_{hash_of(self._embedder(self.front_end).embedder_id)}"
        vectors = embed_swaps(
            both, heard.clips, heard.recordings, self.embedder, self.front_end, self.store, swap_id,
            progress=self.progress,
        )  # fmt: skip
        swapped, rebuilt = vectors[: len(pairs)], vectors[len(pairs) :]
        return swap_outcome(
            heard.data, pairs, swapped, rebuilt, heard.head, encounters=heard.encounters, seed=seed
        )

    def _embed_all(self, front_end: FrontEnd) -> NDArray[np.float32]:
        return self._embed(front_end, self.heard.clips)

    def _embed(self, front_end: FrontEnd, clips: pd.DataFrame) -> NDArray[np.float32]:
        embedder = self._embedder(front_end)
        embed_clips(
            clips, self.heard.recordings, embedder, self.store, batch_size=self.batch_size,
            n_workers=self.n_workers, progress=self.progress,
        )  # fmt: skip
        return self.store.vectors(embedder.embedder_id, clips["clip_id"].tolist())

    def _embedder(self, front_end: FrontEnd) -> Embedder:
        return replace(self.embedder, front_end=front_end)


def _nuisance_sets(
    heard: _Heard, sound: NDArray[np.float32], background: NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    """The controls that vote: no animal has a part in them."""
    found = facts.fact_features(heard.clips, heard.recordings)
    alone = {name: found[name] for name in facts.FACTS if name in found}
    sets = dict(alone)
    if len(alone) > 1:
        sets = {"all facts": np.concatenate(list(alone.values()), axis=1)} | sets
    if (sound[:, 0] > 0).any():
        levels = facts.band_levels(sound[:, 2 : 2 + N_BANDS])
        sets["background level and spectrum"], _ = facts.filled_in(levels, heard.encounters)
        sets["background through the network"], _ = facts.filled_in(background, heard.encounters)
    return sets


def _shown_rows(heard: _Heard, sound: NDArray[np.float32]) -> list[dict[str, Any]]:
    """Controls in which the animals may have a part: shown, without a vote."""
    found = facts.fact_features(heard.clips, heard.recordings)
    sets = {name: found[name] for name in facts.SHOWN_FACTS if name in found}
    whole = facts.band_levels(sound[:, 2 + N_BANDS : 2 + 2 * N_BANDS])
    sets["mean spectrum of the whole clip"], _ = facts.filled_in(whole, heard.encounters)
    return [_row(name, "shown", heard.right(features)) for name, features in sets.items()]


def _judge(
    tested: Permutations, names: list[str], units_per_class: Mapping[str, int], seed: int
) -> dict[str, Any]:
    """The verdict by these controls, with the numbers that it comes from."""
    if not names:
        return {"verdict": "cannot tell", "p_nuisance": None, "difference": None,
                "best_control": None}  # fmt: skip
    difference = paired_difference(
        tested.right, tested.labels, tested.units, model=MODEL, controls=names, seed=seed
    )
    p_nuisance = tested.p_value_max(names)
    verdict = decide_verdict(
        p_nuisance=p_nuisance,
        difference=difference,
        p_model=tested.p_value(MODEL),
        units_per_class=units_per_class,
    )
    return {
        "verdict": verdict,
        "p_nuisance": p_nuisance,
        "difference": difference.as_dict(),
        "best_control": max(names, key=lambda name: tested.observed[name]),
    }


def _tested_row(tested: Permutations, name: str, kind: str) -> dict[str, Any]:
    right = pd.DataFrame(
        {"label": tested.labels, "unit": tested.units, "right": tested.right[name]}
    )
    return _row(name, kind, right) | {"p": tested.p_value(name)}


def _row(name: str, kind: str, right: pd.DataFrame) -> dict[str, Any]:
    estimate, method = balanced_accuracy(right)
    about = {"name": name, "kind": kind, "n_encounters": len(right), "p": None}
    return about | estimate.as_dict() | {"interval_method": method}


def _knows(heard: _Heard) -> list[dict[str, Any]]:
    """Platform and recorder from the embeddings, within each label."""
    rows = heard.recordings.set_index("recording_id").loc[heard.clips["recording_id"]]
    platform = rows["platform"].astype(object).fillna("").to_numpy(dtype=object)
    recorder = facts.recorder_signature(rows).to_numpy(dtype=object)
    found = []
    for name, values in (("platform", platform), ("recorder", recorder)):
        # What changes within an encounter is no property of its recorder.
        one = pd.Series(values).groupby(heard.encounters).transform(lambda v: v.mode().iloc[0])
        whole = one.to_numpy(dtype=object)
        for entry in knows_recorder(
            heard.data, heard.clips, heard.recordings, whole, heard.split, heard.head
        ):
            found.append({"what": name} | entry)
    return found


def _association(one: facts.Association) -> dict[str, Any]:
    return {
        "name": one.name,
        "cramers_v": one.cramers_v,
        "n_values": len(one.counts),
        "n_shared": one.n_shared,
        "labels": [str(label) for label in one.counts.columns],
        "encounters": {
            str(value): [int(n) for n in row]
            for value, row in zip(one.counts.index, one.counts.to_numpy(), strict=True)
        },
    }


def _edges_hz(
    front_end: FrontEnd, shares: NDArray[np.float64], recordings: pd.DataFrame
) -> list[float]:
    """Frequencies in Hz at shares of a picture's height."""
    if isinstance(front_end, CommonFrontEnd):
        if front_end.scale == "mel":
            n = len(shares) - 1
            return [float(hz) for hz in band_edges_hz((front_end.fmin_hz, front_end.fmax_hz), n)]
        low, high = front_end.fmin_hz, front_end.fmax_hz
        if front_end.scale == "log":
            return [float(low * (high / low) ** share) for share in shares]
        return [float(low + (high - low) * share) for share in shares]
    return [float(recordings["sample_rate"].median() / 2 * share) for share in shares]
