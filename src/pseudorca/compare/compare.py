"""Every embedder of a project, and ensembles of them, on the same encounters."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pseudorca.backbones import is_non_commercial, load_backbone
from pseudorca.backbones.families import check_extra
from pseudorca.compare.choosing import NESTED, Compared, Variant, compare
from pseudorca.compare.page import write_comparison
from pseudorca.embedding.augmentation.copies import view_set
from pseudorca.embedding.drawing import clip_pictures
from pseudorca.embedding.embedder import Embedder, load_embedder
from pseudorca.embedding.known_embedders import KnownEmbedder, keep_embedder, known_embedders
from pseudorca.embedding.stream import embed_clips
from pseudorca.errors import HeadError, PseudorcaError, unknown_name
from pseudorca.formats.whole import write_table, write_text
from pseudorca.frontends.classic import CLASSIC, ClassicFrontEnd
from pseudorca.learning.dataset import TrainingSet, labelled_clips, make_training_set
from pseudorca.learning.heads.base import Head
from pseudorca.learning.heads.registry import make_head
from pseudorca.learning.preparation import Preparation, prepared_set
from pseudorca.learning.recipe import Recipe
from pseudorca.progress import Progress
from pseudorca.recordings.clips import project_clips
from pseudorca.recordings.folds import Split, make_folds, refuse_same_names
from pseudorca.recordings.manifest import populations, project_recordings
from pseudorca.recordings.notices import few_encounters
from pseudorca.results import Result
from pseudorca.store import Store, package_versions
from pseudorca.values import plain_value, plural

NETWORK_IN_THE_BOX = "pseudorca_small"

_ALL = "all"
_TIMED_CLIPS = 16
_COMPLETE = 0.9  # of the clips that the best embedder could use
_COLUMNS = (
    "variant", "kind", "embedding_size", "licence", "may_be_chosen", "clips_per_s", "split", "unit",
    "n_units", "n_groups", "balanced_accuracy", "ci_low", "ci_high", "majority_baseline",
    "reference", "difference", "difference_low", "difference_high", "word", "interval_method",
)  # fmt: skip


@dataclass(frozen=True)
class CompareOptions:
    """The options of a comparison.

    ``classic``: classic features that are computed if they are not there. ``ensembles``: names joined
    by +, each taken side by side and as the mean of scores. ``only``: names; empty: all that have
    embeddings. ``heads``: names of heads. ``against``: the variant that differences are taken from;
    None: the network in the box if it is there, else the first. ``splits``: honest ones, the first is
    the headline; a random split is always beside them. ``choose_among``: embedders, of which (alone
    or together) inner folds may choose; empty: all that may be used commercially; ``("all",)``: all.
    ``prepare``: preparations to compare, beside embeddings without preparation.

    Examples
    --------
    >>> CompareOptions(ensembles=("pseudorca_small+logmel",)).splits[0].name
    'encounter'
    """

    classic: tuple[str, ...] = ()
    ensembles: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    heads: tuple[str, ...] = ("logistic",)
    against: str | None = None
    splits: tuple[Split, ...] = (Split("encounter", n_repeats=3),)
    choose_among: tuple[str, ...] = ()
    seed: int = 0
    prepare: tuple[Preparation, ...] = ()


@dataclass(frozen=True, eq=False, repr=False)
class CompareResult(Result):
    """Embedders, heads and ensembles on the same encounters.

    ``findings``: the content of ``comparison.json``. ``files``: paths of ``csv``, ``json``, ``page``
    and ``figure``.

    Examples
    --------
    >>> findings = {"summary": "Letting inner folds choose among 2: ...", "notices": []}
    >>> result = CompareResult(findings, Path("comparison"), {"csv": "comparison/comparison.csv"})
    >>> print(result)
    Letting inner folds choose among 2: ...
    >>> result.as_json()["output"]
    'comparison'
    """

    findings: dict[str, Any]
    folder: Path
    files: dict[str, str]

    @property
    def table(self) -> pd.DataFrame:
        """A row per variant, split and unit; columns as ``comparison.csv``."""
        return pd.DataFrame(self.findings["rows"])[list(_COLUMNS)]

    @property
    def notices(self) -> list[str]:
        """Warnings on the clips, the embedders and the splits."""
        return list(self.findings["notices"])

    def as_json(self) -> dict[str, Any]:
        """The content of ``comparison.json``, the folder and the files."""
        return self.findings | {"output": str(self.folder), "files": self.files}

    def summary(self) -> list[str]:
        """The accuracy to expect of a choice, and the differences that are shown."""
        return [str(self.findings["summary"])]

    def main_table(self) -> pd.DataFrame:
        """The rows of the first split by encounter, the most accurate variant first."""
        table = self.table
        of_split = table["split"] == self.findings["headline_split"]
        headline: pd.DataFrame = table[of_split & (table["unit"] == "encounter")]
        return headline.sort_values("balanced_accuracy", ascending=False)


@dataclass(frozen=True)
class _Project:
    """A project with its recordings and clips, read once."""

    store: Store
    recordings: pd.DataFrame
    clips: pd.DataFrame

    def speed(self, known: KnownEmbedder) -> float:
        """Clips per second of an embedder's runs, or of a few clips if its runs tell nothing."""
        if known.clips_per_s:
            return known.clips_per_s
        embedder, n = load_embedder(known.folder), len(self.clips)
        rows = np.linspace(0, n - 1, min(_TIMED_CLIPS, n)).round().astype(int)

        def embed(clips: pd.DataFrame) -> int:
            drawn = [picture for _, picture in clip_pictures(clips, self.recordings, embedder)]
            inputs = [picture for picture in drawn if picture is not None]
            if inputs:
                embedder.embed(inputs)
            return len(inputs)

        embed(self.clips.iloc[rows[:1]])  # the first clip also loads and compiles
        begun = time.monotonic()
        return max(embed(self.clips.iloc[np.unique(rows)]), 1) / (time.monotonic() - begun)


@dataclass
class _Material:
    """The clips with an embedding by every embedder, and all that is compared on them."""

    clips: pd.DataFrame
    sets: dict[str, TrainingSet]
    variants: list[Variant]
    embedders: dict[str, KnownEmbedder]
    notices: list[str]


def compare_project(
    store: Store,
    options: CompareOptions,
    folder: Path,
    *,
    progress: Progress | None = None,
    stage: Callable[[str], Any] = lambda text: None,
) -> CompareResult:
    """Compare, and write ``comparison.csv``, ``.json`` and ``.html`` into a folder.

    Parameters
    ----------
    store : Store
    options : CompareOptions
    folder : Path
    progress : callable (done, total) or None, over trainings
    stage : callable, takes a sentence on the current step

    Returns
    -------
    CompareResult

    Raises
    ------
    PseudorcaError
        If a name is unknown, or there is nothing to compare.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> options = CompareOptions(splits=(Split("random"),))
    >>> with TemporaryDirectory() as folder:
    ...     compare_project(Store(f"{folder}/whales", create=True), options, Path(folder))
    Traceback (most recent call last):
    pseudorca.errors.PseudorcaError: the split 'random' leaves clips of one encounter on both sides; ...
    """
    refuse_same_names(options.splits)
    for split in options.splits:
        if split.is_optimistic:
            raise PseudorcaError(
                f"the split {split.name!r} leaves clips of one encounter on both sides; a random one "
                "is shown beside the others anyway. Compare by encounter, or something coarser."
            )
    started = time.monotonic()
    project = _Project(store, project_recordings(store), project_clips(store))
    for name in options.classic:
        if name not in CLASSIC:
            raise PseudorcaError(unknown_name("classic features", name, CLASSIC))
        check_extra(name)
    heads = {name: make_head(name, seed=options.seed) for name in options.heads}
    for head in heads.values():
        Recipe(head).check_learns_from_embeddings()
    for name in options.classic:
        _embed_classic(project, name, progress, stage)
    computed = time.monotonic()
    embedders, absent = _with_embeddings(project)
    material = _material(project, _named(embedders, options), heads, options)
    names = [variant.name for variant in material.variants]
    reference = options.against or next(
        (name for name in names if name.startswith(NETWORK_IN_THE_BOX)), names[0]
    )
    if reference not in names:
        raise PseudorcaError(unknown_name("variant", reference, names))
    described = {
        variant.name: _described(project, variant, material.embedders)
        for variant in material.variants
    }
    eligible = _eligible(material, described, options.choose_among)
    for name, description in described.items():
        description["may_be_chosen"] = name in eligible
    compared: dict[str, Compared] = {}
    for split in (*options.splits, Split("random")):
        stage(f"Comparing by {split.name}")
        compared[split.name] = compare(
            material.sets, material.variants, material.clips, project.recordings, split,
            reference=reference, choose_among=eligible, seed=options.seed, progress=progress,
        )  # fmt: skip
    findings = _findings(material, described, compared, options, reference)
    findings["seconds"] = time.monotonic() - computed
    findings["seconds_computing_features"] = computed - started
    findings["notices"] = material.notices + few_encounters(populations(store, project.recordings))
    findings["notices"] += absent
    findings["notices"] += [
        f"Split {name}: {', '.join(result.not_testable)} cannot be tested, since a class would have "
        "nothing left to train on; the numbers do not cover them."
        for name, result in compared.items()
        if result.not_testable
    ]
    findings["summary"] = _summary(findings)
    store.record_run("compare", asdict(options), ("recordings", "clips"))
    return _written(findings, folder)


def _material(
    project: _Project,
    embedders: dict[str, KnownEmbedder],
    heads: Mapping[str, Head],
    options: CompareOptions,
) -> _Material:
    """The variants that were asked for, with their training sets."""
    store, recordings = project.store, project.recordings
    labelled, notices = _shared_clips(project, embedders)
    sets = {
        name: make_training_set(labelled, recordings, store, known.embedder_id)
        for name, known in embedders.items()
    }
    for split in options.splits:  # an impossible split is an error before the slow part
        make_folds(labelled, recordings, split)
    head_of = {f", {name}" if len(heads) > 1 else "": head for name, head in heads.items()}
    alone = [name for name in embedders if not options.only or name in options.only]
    variants = _variants(alone, head_of, options.ensembles)
    prepared = {
        f"{name}, {preparation.name}": (embedders[name], preparation)
        for name in alone
        for preparation in options.prepare
    }
    missing: list[HeadError] = []
    for name, (known, preparation) in prepared.items():
        embedder = load_embedder(known.folder)
        try:
            sets[name], more = prepared_set(
                labelled, recordings, store, embedder, preparation, labelled=project.clips
            )
        except HeadError as error:
            missing.append(error)
            notices.append(f"{name} is left out: {error}")
            continue
        notices += [f"{name}: {text}" for text in more]
        embedders[name] = _as_prepared(project, known, name, preparation)
        for ending, head in head_of.items():
            trainer = Recipe(head, preparation=preparation).trainer()
            variants.append(Variant(f"{name}{ending}", (name,), trainer))
    if prepared and options.ensembles:
        notices.append("Ensembles are compared as they are: --prepare is of single networks.")
    if prepared and len(missing) == len(prepared):
        raise missing[0]
    return _Material(labelled, sets, variants, embedders, notices)


def _findings(
    material: _Material,
    described: dict[str, dict[str, Any]],
    compared: Mapping[str, Compared],
    options: CompareOptions,
    reference: str,
) -> dict[str, Any]:
    """Variants and results, as JSON values."""
    left_out = {
        name: variant["licence"]
        for name, variant in described.items()
        if not variant["may_be_chosen"]
    }
    nested: dict[str, Any] = {"kind": "nested choice", "members": [], "head": None, "licence": ""}
    nested |= {"embedding_size": None, "clips_per_s": None, "may_be_chosen": False}
    variants = described | {NESTED: nested}
    keys = [key for key in _COLUMNS if key not in ("variant", "reference")]
    rows = [
        {"variant": row["variant"]} | {k: (variants[row["variant"]] | row)[k] for k in keys}
        | {"reference": reference}
        for split in compared.values()
        for row in split.rows
    ]  # fmt: skip
    clips = material.clips
    return {
        "time_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "reference": reference,
        "headline_split": options.splits[0].name,
        "splits": {
            split.name: asdict(split) | {"optimistic": split.is_optimistic}
            for split in (*options.splits, Split("random"))
        },
        "variants": variants,
        "rows": rows,
        "chosen": {name: split.chosen for name, split in compared.items() if split.chosen},
        "n_clips": len(clips),
        "n_recordings": int(clips["recording_id"].nunique()),
        "n_encounters": int(clips["encounter"].nunique()),
        "classes": sorted(clips["label"].unique()),
        "n_compared": len(described),
        "n_chosen_among": len(described) - len(left_out),
        "not_chosen_among": left_out,
        "versions": package_versions(),
    }


def _written(findings: dict[str, Any], folder: Path) -> CompareResult:
    """Write table, values and page; each appears whole or not at all."""
    text = json.dumps(findings, indent=2, default=plain_value)
    plain: dict[str, Any] = json.loads(text)
    table = pd.DataFrame(findings["rows"])[list(_COLUMNS)]
    csv = write_table(table, folder / "comparison.csv")
    values = write_text([text, "\n"], folder / "comparison.json")
    page = write_comparison(plain, folder / "comparison.html")
    files = {"csv": str(csv), "json": str(values)}
    files |= {"page": page["output"], "figure": page["figure"]}
    return CompareResult(plain, folder, files)


def _summary(result: Mapping[str, Any]) -> str:
    """The headline in words: the expected accuracy of a choice, and the shown differences."""
    split = result["headline_split"]
    rows = {
        row["variant"]: row
        for row in result["rows"]
        if (row["split"], row["unit"]) == (split, "encounter")
    }
    nested = rows[NESTED]
    chosen = result["chosen"][split]
    total = sum(chosen.values())
    shown = ", ".join(f"{name} {n} of {total} times" for name, n in list(chosen.items())[:3])
    text = (
        f"Letting inner folds choose among {result['n_chosen_among']}: balanced accuracy "
        f"{nested['balanced_accuracy']:.2f} on encounters never heard (split {split}), 95 % interval "
        f"{nested['ci_low']:.2f} to {nested['ci_high']:.2f}; always naming one class: "
        f"{nested['majority_baseline']:.2f}. Chosen: {shown}."
    )
    if left_out := result["not_chosen_among"]:
        licences = dict.fromkeys("; ".join(left_out.values()).split("; "))
        limited = [licence for licence in licences if is_non_commercial(licence)]
        why = f" ({', '.join(limited)}; --choose-among all includes them)" if limited else ""
        text += f" Not chosen among{why}: {', '.join(left_out)}."
    differ = [
        f"{name} is {row['word']}"
        for name, row in rows.items()
        if row["word"] in ("better", "worse")
    ]
    if differ:
        return f"{text} Against {result['reference']}: {'; '.join(differ)}."
    return f"{text} No difference from {result['reference']} is shown by these encounters."


def _embed_classic(
    project: _Project, name: str, progress: Progress | None, stage: Callable[[str], Any]
) -> None:
    store, clips = project.store, project.clips
    embedder = Embedder(ClassicFrontEnd.in_band("16k", features=name), load_backbone(name))
    missing = len(clips) - len(store.embedded(embedder.embedder_id, clips["clip_id"].tolist()))
    known_ids = {known.embedder_id for known in known_embedders(store)}
    if not missing and embedder.embedder_id in known_ids:
        return
    stage(f"Computing {name}")
    keep_embedder(store, embedder)
    begun = time.monotonic()
    result = embed_clips(clips, project.recordings, embedder, store, progress=progress)
    store.replace("problems", result.problems, stage="embed", embedder_id=embedder.embedder_id)
    took = {"n_new": result.n_new, "seconds": time.monotonic() - begun}
    settings = {"embedder_id": embedder.embedder_id, "device": embedder.device} | took
    store.record_run("embed", settings | embedder.description(), ("recordings", "clips"))


def _with_embeddings(project: _Project) -> tuple[list[KnownEmbedder], list[str]]:
    """Embedders with embeddings of nearly all labelled clips, and notices on the others."""
    store = project.store
    labelled = project.clips[project.clips["label"].notna()]["clip_id"].tolist()
    known = known_embedders(store)
    counts = {each.name: len(store.embedded(each.embedder_id, labelled)) for each in known}
    enough = max(1, _COMPLETE * max(counts.values(), default=0))
    complete = [each for each in known if counts[each.name] >= enough]
    if not complete:
        raise PseudorcaError(
            f"no clips of {store.folder} are embedded. Run: pseudorca embed, or compare --with logmel"
        )
    return complete, [
        f"{each.name} is left out: it has embeddings of {counts[each.name]} of {len(labelled)} "
        "labelled clips. Run pseudorca embed with it again."
        for each in known
        if each not in complete
    ]


def _shared_clips(
    project: _Project, embedders: Mapping[str, KnownEmbedder]
) -> tuple[pd.DataFrame, list[str]]:
    """The labelled clips with an embedding by every embedder, and notices on the others."""
    tables, notices = [], []
    for known in embedders.values():
        table, left_out = labelled_clips(
            project.clips, project.recordings, project.store, known.embedder_id
        )
        tables.append(table)
        notices += left_out
    shared = set.intersection(*(set(table["clip_id"]) for table in tables))
    shared_rows = tables[0][tables[0]["clip_id"].isin(shared)].reset_index(drop=True)
    if more := max(len(table) for table in tables) - len(shared_rows):
        notices.append(
            f"Left out for all, since not every embedder could use them: {plural(more, 'clip')}."
        )
    return shared_rows, list(dict.fromkeys(notices))


def _named(embedders: Sequence[KnownEmbedder], options: CompareOptions) -> dict[str, KnownEmbedder]:
    by_name = {embedder.name: embedder for embedder in embedders}
    wanted = [*options.only, *(m for names in options.ensembles for m in names.split("+"))]
    for name in wanted:
        if name not in by_name:
            raise PseudorcaError(unknown_name("embedder of this project", name, by_name))
    if options.only:
        return {name: embedder for name, embedder in by_name.items() if name in wanted}
    return by_name


def _variants(
    alone: Sequence[str], head_of: Mapping[str, Head], ensembles: Sequence[str]
) -> list[Variant]:
    """Embedders alone and together; ``head_of``: heads by the ending of a variant's name."""
    variants = []
    for ending, head in head_of.items():
        variants += [Variant(f"{name}{ending}", (name,), head) for name in alone]
        for names in ensembles:
            members = tuple(names.split("+"))
            if len(members) < 2:
                raise PseudorcaError(f"an ensemble joins two or more by +, got {names!r}.")
            shown = " + ".join(members)
            variants.append(Variant(f"{shown}, side by side{ending}", members, head))
            variants.append(Variant(f"{shown}, mean of scores{ending}", members, head, mean=True))
    return variants


def _as_prepared(
    project: _Project, known: KnownEmbedder, name: str, preparation: Preparation
) -> KnownEmbedder:
    """The embedder under the name, and with the size and speed, that preparation gives it."""
    n_parts = 2 if preparation.reference == "beside" else 1
    n_heard = 1 if preparation.reference == "none" else 2
    if preparation.test_views:
        n_heard *= 1 + view_set(project.store, known.embedder_id).n_test_views
    size, speed = known.embedding_size * n_parts, project.speed(known) / n_heard
    return replace(known, name=name, embedding_size=size, clips_per_s=speed)


def _eligible(
    material: _Material, described: Mapping[str, Mapping[str, Any]], wanted: Sequence[str]
) -> set[str]:
    """The variants that inner folds may choose."""
    embedders = material.embedders
    if tuple(wanted) == (_ALL,):
        return set(described)
    for name in wanted:
        if name not in embedders:
            raise PseudorcaError(unknown_name("embedder compared here", name, (*embedders, _ALL)))
    if wanted:  # as they are, or prepared
        ids = {embedders[name].embedder_id for name in wanted}
        return {
            variant.name
            for variant in material.variants
            if {embedders[member].embedder_id for member in variant.members} <= ids
        }
    eligible = {
        name for name, variant in described.items() if not is_non_commercial(variant["licence"])
    }
    if not eligible:
        raise PseudorcaError(
            "nothing to choose among: every network compared here is for non-commercial use only. "
            "Embed with another one (pseudorca embed, or compare --with logmel), or give "
            "--choose-among all."
        )
    return eligible


def _described(
    project: _Project, variant: Variant, embedders: Mapping[str, KnownEmbedder]
) -> dict[str, Any]:
    members = [embedders[name] for name in variant.members]
    if len(members) > 1:
        kind = "mean of scores" if variant.mean else "side by side"
    else:
        no_network = members[0].front_end["name"] == ClassicFrontEnd.name
        kind = "no network" if no_network else "network"
    return {
        "kind": kind,
        "members": list(variant.members),
        "embedder_ids": [member.embedder_id for member in members],
        "head": variant.head.settings(),
        "embedding_size": sum(member.embedding_size for member in members),
        "licence": "; ".join(dict.fromkeys(member.licence for member in members)),
        "source": [member.source for member in members],
        "front_end": [member.front_end for member in members],
        "clips_per_s": 1 / sum(1 / project.speed(member) for member in members),
    }
