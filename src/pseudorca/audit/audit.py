"""Animals or recorders: every control beside the model, and a verdict that is kept."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from pseudorca.audit import controls
from pseudorca.audit.audio_controls import AuditSounds
from pseudorca.audit.controls import AuditedClips, Features
from pseudorca.audit.options import AuditOptions
from pseudorca.audit.words import sentences
from pseudorca.embedding.options import Computing
from pseudorca.errors import FoldError
from pseudorca.evaluation.encounter_accuracy import balanced_accuracy, paired_difference
from pseudorca.evaluation.inference import Permutations, mixed_encounters, permutation_test
from pseudorca.learning.dataset import make_training_set
from pseudorca.learning.labelled import LabelledProject
from pseudorca.learning.preparation import PLAIN
from pseudorca.learning.recipe import Recipe
from pseudorca.progress import Progress
from pseudorca.recordings.clips import sample_clips
from pseudorca.recordings.folds import OTHER, Split, group_values, make_folds
from pseudorca.recordings.notices import few_encounters
from pseudorca.results import Result
from pseudorca.store import Store, package_versions
from pseudorca.values import hash_of, plain_value

MODEL = "model"


@dataclass(frozen=True, eq=False, repr=False)
class AuditResult(Result):
    """Animals or recorders? The verdict, and the numbers behind it.

    ``findings``: the row of the table ``audits``, as JSON values.

    Examples
    --------
    >>> findings = {"verdict": "animals", "summary": "Animals: the classifier tells more.",
    ...             "notices": [], "controls": [{"name": "model", "kind": "model", "value": 0.9}]}
    >>> result = AuditResult("5f1c", findings)
    >>> print(result)
    Animals: the classifier tells more.
    >>> result.verdict, result.controls["value"].tolist()
    ('animals', [0.9])
    """

    audit_id: str
    findings: dict[str, Any]

    @property
    def verdict(self) -> str:
        """``animals``, ``recorder`` or ``cannot tell``."""
        return str(self.findings["verdict"])

    @property
    def notices(self) -> list[str]:
        """Warnings on the clips and on the result."""
        return list(self.findings["notices"])

    @property
    def controls(self) -> pd.DataFrame:
        """The model and every control: ``name, kind, value, low, high, p, n_encounters``."""
        return pd.DataFrame(self.findings["controls"])

    def as_json(self) -> dict[str, Any]:
        """The audit as JSON values: its id, and the row of the table ``audits``."""
        return {"audit_id": self.audit_id} | self.findings

    def summary(self) -> list[str]:
        """The verdict and its numbers, as one text that can be quoted."""
        return [str(self.findings["summary"])]

    def main_table(self) -> pd.DataFrame:
        """The model and every control, as :attr:`controls`."""
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
    without the animals. The result becomes a row of the table ``audits``, and replaces an audit of
    the same recipe, split and options.

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

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     audit_project(Store(f"{folder}/whales", create=True), Recipe(), Split("random"))
    Traceback (most recent call last):
    pseudorca.errors.FoldError: the split 'random' leaves clips of one encounter on both sides: ...
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
    audited = _sampled(labelled, split, options)
    n_labelled = int((labelled.clips["label"] != OTHER).sum())
    notices = labelled.notices + _clip_notices(audited, n_labelled, recipe, options)
    sounds = AuditSounds(store, labelled.embedder, audited, computing, progress, stage)
    background, without_background, more_notices = sounds.background()
    findings = _tested(sounds, background, options) | {
        "n_clips": len(audited.clips),
        "n_labelled_clips": n_labelled,
        "background": without_background,
        "associations": controls.associations(audited.clips, audited.recordings),
    }
    findings["answerable"], findings["why"] = controls.answerable(findings["associations"])
    if not options.quick:
        rows, more_findings = _beyond_verdict(sounds, recipe, options)
        findings["controls"] += rows
        findings |= more_findings
    findings["heard"] = {
        "n_repeats": split.n_repeats, "clips_per_encounter": options.clips_per_encounter,
        "without_others": bool(store.setting("other")),
    }  # fmt: skip
    findings["quick"] = options.quick
    findings["evaluated"] = _evaluated(store, labelled.settings(), split)
    findings |= sentences(findings)
    record = {
        "split": asdict(split), "group_by": split.group_by, "options": asdict(options),
        "recipe": labelled.settings(),
        "audited": _in_words(labelled),
        **labelled.known_by,
        "background_settings": sounds.front_end.settings()["background_only"],
        "versions": package_versions(),
        "tables": _versions(store),
        "notices": notices + more_notices,
    }  # fmt: skip
    settings = {key: record[key] for key in ("split", "options", "recipe")}
    audit_id = hash_of(settings)
    row = {
        "audit_id": audit_id,
        "time_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "result": json.dumps(record | findings, default=plain_value),
    }
    store.replace("audits", pd.DataFrame([row]), audit_id=audit_id)
    store.record_run("audit", settings, ("recordings", "clips", "audits"))
    return AuditResult(audit_id, findings | record)


def _sampled(labelled: LabelledProject, split: Split, options: AuditOptions) -> AuditedClips:
    """The sampled clips of the audit, without other sounds."""
    recordings = labelled.recordings
    clips = labelled.clips[(labelled.clips["label"] != OTHER).to_numpy()].reset_index(drop=True)
    clips = sample_clips(clips, recordings, options.clips_per_encounter)
    folds = make_folds(clips, recordings, split)
    data = labelled.grouped(folds)
    embedder_id = labelled.embedder.embedder_id
    plain = make_training_set(clips, recordings, labelled.store, embedder_id)
    plain, head = replace(plain, groups=folds.units), labelled.trainer(split)
    return AuditedClips(clips, recordings, data, plain, folds.units, split, head)


def _clip_notices(
    audited: AuditedClips, n_labelled: int, recipe: Recipe, options: AuditOptions
) -> list[str]:
    """Warnings on the sampled clips."""
    clips, recordings, notices = audited.clips, audited.recordings, []
    if recipe.preparation != PLAIN:
        notices.append(
            f"The classifier's embeddings are {recipe.preparation.name}; the controls are as they are "
            "without that, and single bands are not tested."
        )
    if len(clips) < n_labelled:
        notices.append(
            f"{len(clips)} of {n_labelled} labelled clips were used: at most "
            f"{options.clips_per_encounter} of an encounter, spread evenly over it."
        )
    notices += few_encounters(recordings[recordings["label"].isin(clips["label"])])
    return notices + mixed_encounters(clips)


def _voting_sets(sounds: AuditSounds, background: Features) -> dict[str, Features]:
    """The feature sets of the voting controls: the animals have no part in them."""
    facts, encounters = sounds.audited.facts, sounds.audited.encounters
    sets = {name: facts[name] for name in controls.FACTS if name in facts}
    if len(sets) > 1:
        sets = {"all facts": np.concatenate(list(sets.values()), axis=1)} | sets
    if sounds.has_background.any():
        levels = controls.band_levels(sounds.levels_db[0])
        sets["background level and spectrum"] = controls.filled_in(levels, encounters)
        sets["background through the network"] = controls.filled_in(background, encounters)
    return sets


def _tested(sounds: AuditSounds, background: Features, options: AuditOptions) -> dict[str, Any]:
    """Test the model and the voting controls with permuted labels, and derive the verdict."""
    audited, within = sounds.audited, None
    clips, recordings = audited.clips, audited.recordings
    voting = _voting_sets(sounds, background)
    sets = {name: audited.with_features(features) for name, features in voting.items()}
    if options.within:
        within = group_values(clips, recordings, options.within).to_numpy(dtype=object)
    sounds.stage("Permuting labels between encounters")
    tested = permutation_test(
        {MODEL: audited.data} | sets, clips, recordings, audited.split, audited.head,
        n_permutations=options.n_permutations, seed=options.seed, within=within,
        progress=sounds.progress,
    )  # fmt: skip
    units = pd.DataFrame({"label": tested.labels, "unit": tested.units})
    counts = units.groupby("label")["unit"].nunique()
    units_per_class = {str(label): int(n) for label, n in counts.items()}
    background_only = [name for name in voting if name.startswith("background")]
    rows = []
    for name in (MODEL, *voting):
        right = units.assign(right=tested.right[name])
        row = _row(name, "model" if name == MODEL else "nuisance", right)
        rows.append(row | {"p": tested.p_value(name)})
    return {
        **_judged(tested, list(voting), units_per_class, options.seed),
        "by_background_alone": _judged(tested, background_only, units_per_class, options.seed),
        "p_model": tested.p_value(MODEL),
        "smallest_p": tested.smallest_p,
        "n_permutations": len(tested.null[MODEL]),
        "enumerated": tested.enumerated,
        "chance": 1 / len(units_per_class),
        "classes": sorted(units_per_class),
        "units_per_class": units_per_class,
        "n_encounters": len(tested.labels),
        "controls": rows,
    }


def _judged(
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
    verdict = controls.decide_verdict(
        p_nuisance=p_nuisance, difference=difference, p_model=tested.p_value(MODEL),
        units_per_class=units_per_class,
    )  # fmt: skip
    return {
        "verdict": verdict,
        "p_nuisance": p_nuisance,
        "difference": difference.as_dict(),
        "best_control": max(names, key=lambda name: tested.observed[name]),
    }


def _beyond_verdict(
    sounds: AuditSounds, recipe: Recipe, options: AuditOptions
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of more controls, and findings that the verdict does not need."""
    audited, facts = sounds.audited, sounds.audited.facts
    # The animals may have a part in these controls: they are shown, and do not vote.
    shown = {name: facts[name] for name in controls.SHOWN_FACTS if name in facts}
    levels = controls.band_levels(sounds.levels_db[1])
    shown["mean spectrum of the whole clip"] = controls.filled_in(levels, audited.encounters)
    rows = [
        _row(name, "shown", audited.right(audited.with_features(features)))
        for name, features in shown.items()
    ]
    sounds.stage("Random split beside the honest one")
    honest = audited.right(audited.data)
    random = audited.right(audited.data, replace(audited.split, name="random"))
    rows.append(_row("random split", "optimistic", random))
    findings: dict[str, Any] = {
        "leakage_gap": controls.leakage_gap(random, honest, seed=options.seed).as_dict()
    }
    if recipe.preparation.reference == "none" and recipe.preparation.centre == "none":
        findings["swap"] = sounds.swap(options.seed)
    if recipe.preparation == PLAIN:
        findings["bands"] = sounds.bands()
    return rows, findings | {"recorder_in_embeddings": _recorder_in_embeddings(audited)}


def _in_words(labelled: LabelledProject) -> str:
    """The networks and the recipe."""
    networks = " + ".join(member.backbone.name for member in labelled.embedder.members)
    return f"{networks}; {labelled.recipe.describe()}"


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


def _row(name: str, kind: str, right: pd.DataFrame) -> dict[str, Any]:
    estimate, method = balanced_accuracy(right)
    row = {"name": name, "kind": kind, "n_encounters": len(right), "p": None}
    return row | estimate.as_dict() | {"interval_method": method}


def _recorder_in_embeddings(audited: AuditedClips) -> list[dict[str, Any]]:
    """Whether the embeddings know platform and recorder, within each label."""
    rows = audited.recordings.set_index("recording_id").loc[audited.clips["recording_id"]]
    platform = rows["platform"].astype(object).fillna("")
    known = []
    for name, values in (("platform", platform), ("recorder", controls.recorder_signature(rows))):
        # A value that changes within an encounter is not a property of the recorder.
        by_encounter = values.astype(object).groupby(audited.encounters)
        usual = by_encounter.transform(lambda v: v.mode().iloc[0]).to_numpy(dtype=object)
        known += [{"what": name} | row for row in controls.knows_recorder(audited, usual)]
    return known
