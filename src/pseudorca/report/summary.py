"""The first screen of the report: what was found, how good that is, and whether it is the animals.

Three cards, each with one number or word, and a link to the details. No number is green unless the
audit says that the classifier hears animals.
"""

import pandas as pd

from pseudorca.evaluation.kept import Evidence
from pseudorca.pages.blocks import Card, Cards, Section, Tone
from pseudorca.prediction.decisions import UNDECIDED
from pseudorca.prediction.detections import is_named
from pseudorca.prediction.sets import last_settings
from pseudorca.recordings.notices import MIN_ENCOUNTERS
from pseudorca.recordings.options import NOTHING
from pseudorca.report.contents import WIDE, Contents, evidence, listed, typed
from pseudorca.report.found import compared_with_truth, said_of
from pseudorca.values import plural

_MOST_ROWS = 6
_MOST_SETS = 4

_VERDICTS: dict[str, tuple[Tone, str, str]] = {
    "animals": (
        "good",
        "Animals",
        "The classifier does better than anything that hears no animal.",
    ),
    "recorder": (
        "bad",
        "Recorder",
        "It is not shown to do better than noise and recorder alone: its answers must not be taken "
        "for the animals' own.",
    ),
    "cannot tell": (
        "unsure",
        "Cannot tell",
        "These recordings cannot show whether it hears the animals or the recorders.",
    ),
}


_FOUND_WARNINGS: dict[str | None, tuple[str, ...]] = {
    "recorder": ("Not to be taken for the animals' own: see the card Animals or recorders?",),
}


def summary_section(project: Contents) -> Section:
    """Show the three cards of the first screen.

    Parameters
    ----------
    project : Contents

    Returns
    -------
    Section

    Examples
    --------
    >>> import tempfile
    >>> from pseudorca.report.contents import read_project
    >>> from pseudorca.store import Store
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     section = summary_section(read_project(Store(f"{folder}/project", create=True)))
    >>> [card.value for card in section.blocks[0].cards]
    ['Nothing predicted yet', 'Not evaluated', 'Not audited']
    """
    known = evidence(project)
    verdict = str(known.audit["verdict"]) if known.audit else None
    cards = [
        _found(project, verdict),
        _how_good(project, known, verdict),
        _animals(project, verdict),
    ]
    return Section("summary", "In a minute", [Cards(cards)])


def _found(project: Contents, verdict: str | None) -> Card:
    """What was said of the unknown encounters, set by set."""
    sets = last_settings(project.store)
    if not sets:
        return Card(
            "Found",
            "Nothing predicted yet",
            lines=["Put recordings without a label into a folder Unknown, or name files."],
            command=f"pseudorca predict --project {project.argument}",
        )
    shown = [(name, said_of(project, settings)) for name, settings in reversed(sets.items())]
    name, encounters = shown[0]
    n_named = int(is_named(encounters["decision"]).sum())
    return Card(
        "Found",
        f"{n_named} of {len(encounters)} named",
        lines=[f"{plural(len(encounters), 'encounter')} in the set {name}.", *_truth(project)],
        warnings=_FOUND_WARNINGS.get(verdict, ()) if n_named else (),
        rows=_rows(project, encounters),
        more=[
            (f"{other}: {_counts(rows)}", _rows(project, rows))
            for other, rows in shown[1 : _MOST_SETS + 1]
        ],
        link=("All predictions", "predictions"),
    )


def _truth(project: Contents) -> list[str]:
    counts = compared_with_truth(project)["right"].value_counts()
    if counts.empty:
        return []
    right, wrong = (int(counts.get(key, 0)) for key in ("yes", "no"))
    return [f"The truth is known here: {right} of {counts.sum()} right, {wrong} wrong."]


def _rows(project: Contents, encounters: pd.DataFrame) -> list[tuple[str, str]]:
    """Encounter, and what is said of it."""
    rows = [
        (
            project.plain(row.unit_id),
            f"undecided: {row.reason}"
            if row.decision == UNDECIDED
            else NOTHING
            if row.decision == NOTHING
            else f"{row.decision}, {row.probability:.2f}",
        )
        for row in encounters.head(_MOST_ROWS).itertuples()
    ]
    if len(encounters) > _MOST_ROWS:
        rows.append((f"and {len(encounters) - _MOST_ROWS} more", _counts(encounters)))
    return rows


def _counts(encounters: pd.DataFrame) -> str:
    counts = encounters["decision"].value_counts().sort_index()
    return ", ".join(f"{label} {n}" for label, n in counts.items()) or "no encounters"


def _how_good(project: Contents, known: Evidence, verdict: str | None) -> Card:
    """The headline, its interval and chance; the random split as a warning."""
    if known.honest is None:
        return Card(
            "How good is it?",
            "Not evaluated",
            tone="unsure",
            lines=[
                "It was evaluated on other recordings or labels than the project holds now."
                if any(project.is_stale(each.labels_id) for each in project.evaluations)
                else "Nobody has measured how often the classifier is right."
            ],
            warnings=_cannot_be_held_out(project),
            command=f"pseudorca evaluate --project {project.argument} --split encounter --split "
            f"random{typed(project)}",
        )
    result = known.honest.results["encounter"]
    lines = [
        f"Of 100 encounters never heard, about {100 * result['balanced_accuracy']:.0f} are named "
        f"rightly (balanced accuracy, {plural(result['n_units'], 'encounter')}).",
        f"95 % interval {result['ci_low']:.2f} to {result['ci_high']:.2f}; always naming one class: "
        f"{result['majority_baseline']:.2f}.",
    ]
    if known.stricter:
        row = known.stricter.results["encounter"]
        lines.append(
            f"For another {known.stricter.about['group_by']} quote {row['balanced_accuracy']:.2f}, "
            f"{row['ci_low']:.2f} to {row['ci_high']:.2f} (split {known.stricter.split})."
        )
    warnings = ["Simulated: nothing of this is about real animals."] if project.truth else []
    is_above = result["ci_low"] > result["majority_baseline"]
    few = [
        row["n_groups"] for row in result["per_class"].values() if row["n_groups"] < MIN_ENCOUNTERS
    ]
    if result["ci_high"] - result["ci_low"] > WIDE:
        warnings.append("So wide an interval says next to nothing.")
    if not is_above:
        warnings.append("The interval includes guessing: nothing was shown.")
    elif few:
        warnings.append(f"Too few encounters to conclude: a class has {min(few)}.")
    if tempting := known.optimistic:
        value = tempting.results["encounter"]["balanced_accuracy"]
        warnings.append(f"Not to be quoted: {value:.2f} with the {tempting.split} split.")
    good = verdict == "animals" and is_above and not few
    tone: Tone = "good" if good else "bad" if verdict == "recorder" else "unsure"
    return Card(
        "How good is it?",
        f"{result['balanced_accuracy']:.2f}",
        tone=tone,
        lines=lines,
        warnings=warnings,
        link=("How far to trust it", "answer"),
    )


def _cannot_be_held_out(project: Contents) -> list[str]:
    """The classes of one encounter, of which nothing would be left to learn from."""
    counts = project.labelled.groupby("label")["encounter"].nunique()
    single = listed(counts.index[counts == 1], _MOST_ROWS)
    return [f"A class of one encounter cannot be held out: {single}."] if single else []


def _animals(project: Contents, verdict: str | None) -> Card:
    """The verdict of the audit as a light, with one sentence."""
    if verdict is None:
        return Card(
            "Animals or recorders?",
            "Not audited",
            tone="unsure",
            lines=["Nobody has asked whether it hears the animals or the recorders."],
            command=f"pseudorca audit --project {project.argument}{typed(project, for_audit=True)}",
        )
    tone, word, sentence = _VERDICTS[verdict]
    return Card(
        "Animals or recorders?", word, tone=tone, lines=[sentence], link=("The audit", "audit")
    )
