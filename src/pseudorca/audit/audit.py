"""Animals or recorders: every control beside the model, and a verdict that is kept."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudorca.audit import controls as facts
from pseudorca.audit.listening import Heard, Listening
from pseudorca.audit.verdict import decide_verdict, knows_recorder, leakage_gap
from pseudorca.audit.words import sentences
from pseudorca.embedding.augmentation.apart import N_BANDS
from pseudorca.embedding.options import Computing
from pseudorca.errors import FoldError, PseudorcaError
from pseudorca.evaluation.inference import Permutations, mixed_encounters, permutation_test
from pseudorca.evaluation.paired import balanced_accuracy, paired_difference
from pseudorca.learning.dataset import make_training_set
from pseudorca.learning.labelled import LabelledProject
from pseudorca.learning.preparation import PLAIN
from pseudorca.learning.recipe import Recipe
from pseudorca.progress import Progress
from pseudorca.recordings.folds import OTHER, Split, group_values, make_folds
from pseudorca.recordings.notices import few_encounters
from pseudorca.results import Result
from pseudorca.store import Store, package_versions
from pseudorca.values import hash_of, plain_value

MODEL = "model"


@dataclass(frozen=True)
class AuditOptions:
    """Options of an audit.

    Raises
    ------
    PseudorcaError
        If a number is less than 1.

    Examples
    --------
    >>> AuditOptions(n_permutations=99).clips_per_encounter
    20
    """

    n_permutations: int = 199
    seed: int = 0
    within: str | None = None
    """Labels are permuted only between units of equal value in this column, such as platform."""
    clips_per_encounter: int = 20
    """Greatest number of clips per encounter, spread evenly over the encounter."""
    quick: bool = False
    """Compute only what the verdict needs: the model, the facts and the background."""

    def __post_init__(self) -> None:
        if self.n_permutations < 1 or self.clips_per_encounter < 1:
            raise PseudorcaError(
                f"--permutations {self.n_permutations}, --clips-per-encounter "
                f"{self.clips_per_encounter}: expected at least 1 of each."
            )


@dataclass(frozen=True, eq=False, repr=False)
class AuditResult(Result):
    """Animals or recorders? The verdict, and the numbers behind it."""

    audit_id: str
    findings: dict[str, Any]
    """The row of the table ``audits``, as JSON values."""

    @property
    def verdict(self) -> str:
        """``animals``, ``recorder`` or ``cannot tell``."""
        return str(self.findings["verdict"])

    @property
    def notices(self) -> list[str]:
        return list(self.findings["notices"])

    @property
    def controls(self) -> pd.DataFrame:
        """The model and every control: ``name, kind, value, low, high, p, n_encounters``."""
        return pd.DataFrame(self.findings["controls"])

    def as_json(self) -> dict[str, Any]:
        return {"audit_id": self.audit_id} | self.findings

    def summary(self) -> list[str]:
        return [str(self.findings["summary"])]

    def main_table(self) -> pd.DataFrame:
        return self.controls


def audit_project(
    store: Store,
    recipe: Recipe,
    split: Split,
    options: AuditOptions | None = None,
    *,
    computing: Computing | None = None,
    progress: Progress | None = None,
    stage: Callable[[str], Any] = lambda text: None,
) -> AuditResult:
    """Compare the model with controls that hear no animal, and keep the result.

    The controls do not use the recipe's preparation of embeddings: they show what can be predicted
    without the animals.

    Parameters
    ----------
    store : Store
    recipe : Recipe
    split : Split, honest
    options : AuditOptions or None
    computing : Computing or None
    progress : callable (done, total) or None, over permutations and clips
    stage : callable, takes a sentence on the current step

    Returns
    -------
    AuditResult

    Raises
    ------
    FoldError
        If the split puts clips of one encounter on both sides.
    HeadError
        If the head trains the network itself.
    """
    options, computing = options or AuditOptions(), computing or Computing()
    recipe.check_learns_from_embeddings()
    if split.is_optimistic:
        raise FoldError(
            f"the split {split.name!r} leaves clips of one encounter on both sides: there every "
            "control does well. Audit with encounter, or something coarser."
        )

    def check(clips: pd.DataFrame, recordings: pd.DataFrame) -> None:
        if options.within:
            group_values(clips, recordings, options.within)

    labelled = LabelledProject.read(store, recipe, device=computing.device, check=check)
    heard, n_labelled = _heard(labelled, split, options)
    notices = labelled.notices + _heard_notices(heard, n_labelled, recipe, options)
    listening = Listening(
        store, labelled.embedder, heard, computing.batch_size, computing.n_threads, progress, stage
    )
    stage("Looking for frames without signal")
    sound = listening.sounds()
    stage("Listening to the background alone")
    background = listening.background(sound)
    notices += background["notices"]
    findings = _verdict(heard, sound, background["vectors"], options, progress, stage)
    findings |= {
        "n_clips": len(heard.clips),
        "n_labelled_clips": n_labelled,
        "background": background["about"],
    }
    associations = facts.associations(heard.clips, heard.recordings)
    findings["associations"] = [_association(association) for association in associations]
    findings["answerable"], findings["why"] = facts.answerable(associations)
    if not options.quick:
        rows, more = _beyond_verdict(heard, listening, sound, recipe, options, stage)
        findings["controls"] += rows
        findings |= more
    findings["heard"] = {
        "n_repeats": split.n_repeats, "clips_per_encounter": options.clips_per_encounter,
        "without_others": bool(store.setting("other")),
    }  # fmt: skip
    findings["evaluated"] = _evaluated(store, labelled.settings(), split)
    findings |= sentences(findings)
    record = {
        "split": asdict(split), "group_by": split.group_by, "options": asdict(options),
        "recipe": labelled.settings(),
        "background_settings": listening.front_end.settings()["background_only"],
        "versions": package_versions(),
        "tables": _versions(store),
        "notices": notices,
    }  # fmt: skip
    keep_audit(store, record, findings)
    return AuditResult(audit_id_of(record), findings | record)


def _heard(labelled: LabelledProject, split: Split, options: AuditOptions) -> tuple[Heard, int]:
    """The sampled clips of the audit, and the number of labelled clips."""
    clips, recordings = labelled.clips, labelled.recordings
    row_of = pd.Series(np.arange(len(clips)), index=clips["clip_id"])
    clips = clips[clips["label"] != OTHER].reset_index(drop=True)
    n_labelled = len(clips)
    clips = sample_clips(clips, recordings, options.clips_per_encounter)
    folds = make_folds(clips, recordings, split)
    data = replace(labelled.data.take(row_of[clips["clip_id"]].to_numpy()), groups=folds.units)
    plain = make_training_set(clips, recordings, labelled.store, labelled.embedder.embedder_id)
    plain = replace(plain, groups=folds.units)
    head = labelled.trainer(split)
    return Heard(clips, recordings, data, plain, folds.units, split, head), n_labelled


def _heard_notices(
    heard: Heard, n_labelled: int, recipe: Recipe, options: AuditOptions
) -> list[str]:
    """Warnings on the sampled clips."""
    clips, notices = heard.clips, []
    if recipe.preparation != PLAIN:
        notices.append(
            f"The classifier's embeddings are {recipe.preparation.name}; the controls are as they are "
            "without that, and single bands are not heard."
        )
    if len(clips) < n_labelled:
        notices.append(
            f"{len(clips)} of {n_labelled} labelled clips were heard: at most "
            f"{options.clips_per_encounter} of an encounter, spread evenly over it."
        )
    notices += few_encounters(heard.recordings[heard.recordings["label"].isin(clips["label"])])
    return notices + mixed_encounters(clips)


def _verdict(
    heard: Heard,
    sound: NDArray[np.float32],
    background: NDArray[np.float32],
    options: AuditOptions,
    progress: Progress | None,
    stage: Callable[[str], Any],
) -> dict[str, Any]:
    """Test the model and the voting controls with permuted labels, and derive the verdict."""
    nuisance = _nuisance_sets(heard, sound, background)
    within = None
    if options.within:
        within = group_values(heard.clips, heard.recordings, options.within).to_numpy(dtype=object)
    stage("Permuting labels between encounters")
    tested = permutation_test(
        {MODEL: heard.data} | {name: heard.with_features(x) for name, x in nuisance.items()},
        heard.clips, heard.recordings, heard.split, heard.head,
        n_permutations=options.n_permutations, seed=options.seed, within=within, progress=progress,
    )  # fmt: skip
    names = list(nuisance)
    units = pd.DataFrame({"label": tested.labels, "unit": tested.units})
    counts = units.groupby("label")["unit"].nunique()
    units_per_class = {str(label): int(n) for label, n in counts.items()}
    heard_only = [name for name in names if name.startswith("background")]
    return {
        **_judge(tested, names, units_per_class, options.seed),
        "by_background_alone": _judge(tested, heard_only, units_per_class, options.seed),
        "p_model": tested.p_value(MODEL),
        "smallest_p": tested.smallest_p,
        "n_permutations": len(tested.null[MODEL]),
        "enumerated": tested.enumerated,
        "chance": 1 / len(units_per_class),
        "classes": sorted(units_per_class),
        "units_per_class": units_per_class,
        "n_encounters": len(tested.labels),
        "controls": [
            _tested_row(tested, name, "model" if name == MODEL else "nuisance")
            for name in (MODEL, *names)
        ],
    }


def _beyond_verdict(
    heard: Heard,
    listening: Listening,
    sound: NDArray[np.float32],
    recipe: Recipe,
    options: AuditOptions,
    stage: Callable[[str], Any],
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of more controls, and findings that the verdict does not need."""
    rows = _shown_rows(heard, sound)
    stage("Random split beside the honest one")
    honest = heard.right(heard.data)
    random = heard.right(heard.data, replace(heard.split, name="random"))
    rows.append(_row("random split", "optimistic", random))
    gap = leakage_gap(random, honest, seed=options.seed)
    findings: dict[str, Any] = {"leakage_gap": gap.as_dict()}
    if recipe.preparation.reference == "none" and recipe.preparation.centre == "none":
        stage("Swapping backgrounds")
        findings["swap"] = listening.swap(sound, options.seed)
    if recipe.preparation == PLAIN:
        stage("Listening to one band at a time")
        findings["bands"] = listening.bands(sound)
    return rows, findings | {"recorder_in_embeddings": _knows(heard)}


def sample_clips(clips: pd.DataFrame, recordings: pd.DataFrame, most: int) -> pd.DataFrame:
    """Take at most ``most`` clips of each encounter, spread evenly in time.

    Parameters
    ----------
    clips, recordings : DataFrame, the tables of these names
    most : int, clips per encounter and label

    Returns
    -------
    DataFrame, rows of ``clips`` in their order

    Examples
    --------
    >>> clips = pd.DataFrame({"recording_id": "r1", "encounter": "e1", "label": "A", "channel": 0,
    ...                       "start_s": [0.0, 2.0, 4.0]})
    >>> recordings = pd.DataFrame({"recording_id": ["r1"], "start_utc": pd.NaT, "path": "a.wav"})
    >>> sample_clips(clips, recordings, 2)["start_s"].tolist()
    [0.0, 4.0]
    """
    start = recordings.set_index("recording_id")[["start_utc", "path"]]
    order = clips.join(start, on="recording_id").sort_values(
        ["start_utc", "path", "start_s", "channel"], na_position="last"
    )
    kept = []
    for _, of_encounter in order.groupby(["encounter", "label"], sort=False):
        rows = of_encounter.index.to_numpy()
        if len(rows) > most:
            rows = rows[np.linspace(0, len(rows) - 1, most).round().astype(int)]
        kept.append(rows)
    return clips.loc[np.sort(np.concatenate(kept))].reset_index(drop=True)


def keep_audit(store: Store, record: Mapping[str, Any], findings: Mapping[str, Any]) -> None:
    """Put an audit into the table ``audits``; it replaces an audit of the same settings.

    Parameters
    ----------
    store : Store
    record : mapping, settings of the audit: ``split, options, recipe`` and others
    findings : mapping, results of the audit
    """
    audit_id = audit_id_of(record)
    row = {
        "audit_id": audit_id,
        "time_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "result": json.dumps(dict(record) | dict(findings), default=plain_value),
    }
    store.replace("audits", pd.DataFrame([row]), audit_id=audit_id)
    settings = {key: record[key] for key in ("split", "options", "recipe")}
    store.record_run("audit", settings, ("recordings", "clips", "audits"))


def audit_id_of(record: Mapping[str, Any]) -> str:
    """Identifies recipe, split and options of an audit.

    Parameters
    ----------
    record : mapping, with ``split, options, recipe``

    Returns
    -------
    str

    Examples
    --------
    >>> len(audit_id_of({"split": {}, "options": {}, "recipe": {}, "notices": []}))
    20
    """
    return hash_of({key: record[key] for key in ("split", "options", "recipe")})


def _versions(store: Store) -> dict[str, int]:
    return {table: store.version(table) for table in ("recordings", "clips")}


def _evaluated(store: Store, recipe: Mapping[str, Any], split: Split) -> dict[str, Any] | None:
    """The latest evaluation of the same clips, recipe and kind of split, if there is one."""
    wanted = json.loads(json.dumps(recipe, default=plain_value)), split.name, _versions(store)
    rows = store.read("evaluations").sort_values("time_utc", ascending=False)
    for text in rows["result"]:
        evaluation = json.loads(text)
        if (evaluation["recipe"], evaluation["split"]["name"], evaluation["tables"]) != wanted:
            continue
        for result in evaluation["results"]:
            if result["unit"] == "encounter":
                kept = ("balanced_accuracy", "ci_low", "ci_high", "n_units", "n_repeats")
                return {key: result[key] for key in kept}
    return None


def _nuisance_sets(
    heard: Heard, sound: NDArray[np.float32], background: NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    """The feature sets of the voting controls: the animals have no part in them."""
    features_of = facts.fact_features(heard.clips, heard.recordings)
    alone = {name: features_of[name] for name in facts.FACTS if name in features_of}
    sets = dict(alone)
    if len(alone) > 1:
        sets = {"all facts": np.concatenate(list(alone.values()), axis=1)} | sets
    if (sound[:, 0] > 0).any():
        levels = facts.band_levels(sound[:, 2 : 2 + N_BANDS])
        sets["background level and spectrum"], _ = facts.filled_in(levels, heard.encounters)
        sets["background through the network"], _ = facts.filled_in(background, heard.encounters)
    return sets


def _shown_rows(heard: Heard, sound: NDArray[np.float32]) -> list[dict[str, Any]]:
    """Controls in which the animals may have a part: shown, without a vote."""
    features_of = facts.fact_features(heard.clips, heard.recordings)
    sets = {name: features_of[name] for name in facts.SHOWN_FACTS if name in features_of}
    whole = facts.band_levels(sound[:, 2 + N_BANDS : 2 + 2 * N_BANDS])
    sets["mean spectrum of the whole clip"], _ = facts.filled_in(whole, heard.encounters)
    return [
        _row(name, "shown", heard.right(heard.with_features(features)))
        for name, features in sets.items()
    ]


def _judge(
    tested: Permutations, names: list[str], units_per_class: Mapping[str, int], seed: int
) -> dict[str, Any]:
    """The verdict by these controls, with the numbers behind it."""
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
    row = {"name": name, "kind": kind, "n_encounters": len(right), "p": None}
    return row | estimate.as_dict() | {"interval_method": method}


def _knows(heard: Heard) -> list[dict[str, Any]]:
    """Platform and recorder from the embeddings, within each label."""
    rows = heard.recordings.set_index("recording_id").loc[heard.clips["recording_id"]]
    platform = rows["platform"].astype(object).fillna("").to_numpy(dtype=object)
    recorder = facts.recorder_signature(rows).to_numpy(dtype=object)
    known = []
    for name, values in (("platform", platform), ("recorder", recorder)):
        # A value that changes within an encounter is not a property of the recorder.
        usual_value = (
            pd.Series(values).groupby(heard.encounters).transform(lambda v: v.mode().iloc[0])
        )
        whole = usual_value.to_numpy(dtype=object)
        for entry in knows_recorder(
            heard.data, heard.clips, heard.recordings, whole, heard.split, heard.head
        ):
            known.append({"what": name} | entry)
    return known


def _association(association: facts.Association) -> dict[str, Any]:
    return {
        "name": association.name,
        "cramers_v": association.cramers_v,
        "n_values": len(association.counts),
        "n_shared": association.n_shared,
        "labels": [str(label) for label in association.counts.columns],
        "encounters": {
            str(value): [int(n) for n in row]
            for value, row in zip(
                association.counts.index, association.counts.to_numpy(), strict=True
            )
        },
    }
