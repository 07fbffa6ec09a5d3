"""An audit in plain sentences: one that can be quoted, and one per control.

In: the numbers of an audit. Out: text. The text says that a model knows the animals only if the
verdict is ``animals``.
"""

from collections.abc import Mapping
from typing import Any

from pseudorca.audit.controls import LEVEL
from pseudorca.recordings.notices import MIN_ENCOUNTERS
from pseudorca.values import plural

NO_CONTROL = "all facts of the files are the same, and no clip has frames without signal."

_TITLES = {
    "model": "the classifier",
    "all facts": "all facts of the file together",
    "sample rate": "the sample rate alone",
    "channels": "the number of channels alone",
    "bit depth": "the bit depth alone",
    "platform": "the ship or platform alone",
    "date": "date and time alone",
    "duration": "the length of the recording alone",
    "level": "the peak level alone",
    "background level and spectrum": "level and spectrum of the background",
    "background through the network": "the background through the same network",
    "mean spectrum of the whole clip": "the mean spectrum of the clip",
    "random split": "the classifier, encounters heard before (random split)",
}


def title(name: str) -> str:
    """The name of a control in a table or figure.

    Parameters
    ----------
    name : str

    Returns
    -------
    str

    Examples
    --------
    >>> title("sample peak of a mooring")
    'sample peak of a mooring'
    """
    return _TITLES.get(name, name)


def sentences(audit: Mapping[str, Any]) -> dict[str, Any]:
    """Describe an audit in sentences.

    Parameters
    ----------
    audit : mapping, the findings of :func:`pseudorca.audit.audit.audit_project`

    Returns
    -------
    dict
        ``summary`` (to be quoted) and ``explained`` (a sentence per part, by name).
    """
    explained = {"beside evaluate": _beside_evaluate(audit)}
    if "leakage_gap" in audit:
        explained["leakage gap"] = _gap(audit["leakage_gap"])
    explained["facts and background"] = _nuisance(audit)
    if "swap" in audit:
        explained["background swap"] = _swap(audit["swap"], audit["units_per_class"])
    if "bands" in audit:
        explained["bands"] = _bands(audit["bands"])
    if "recorder_in_embeddings" in audit:
        explained["recorder in the embeddings"] = _recorder(audit["recorder_in_embeddings"])
    explained["association"] = _association(audit)
    if audit.get("quick"):
        explained["quick"] = _quick(audit)
    return {"summary": _summary(audit), "explained": explained}


def _summary(audit: Mapping[str, Any]) -> str:
    rows = {row["name"]: row for row in audit["controls"]}
    numbers = (
        f"On encounters never heard, the classifier reaches a balanced accuracy of "
        f"{_interval(rows['model'])} (chance {audit['chance']:.2f}, permutation p = "
        f"{audit['p_model']:.3f})"
    )
    if audit["best_control"] is None:
        return f"Cannot tell: {NO_CONTROL} {numbers}."
    best = rows[audit["best_control"]]
    numbers += (
        f"; the best control without any animal in it, {title(best['name'])}, {_interval(best)} "
        f"(joint p = {audit['p_nuisance']:.3f}: {_joint(audit)}). The difference is "
        f"{_interval(audit['difference'], '+.2f')}."
    )
    verdict = {
        "recorder": "Recorder: what is left without the animals tells the classes apart, and the "
        "classifier is not shown to do better. Its answers must not be taken for the animals' own.",
        "animals": "Animals: the classifier tells more than recorder, place, date and background do, "
        "so that at least part of what it hears is the animals.",
        "cannot tell": f"Cannot tell: {_why_not(audit)}",
    }[audit["verdict"]]
    return f"{verdict} {numbers}"


def _why_not(audit: Mapping[str, Any]) -> str:
    """Why neither verdict is given."""
    if audit["difference"]["low"] > 0 and audit["p_model"] < LEVEL:
        units = audit["units_per_class"]
        few = [f"{label} {n}" for label, n in units.items() if n < MIN_ENCOUNTERS]
        return (
            "the classifier does better than every control without animals, but these classes have "
            f"too few encounters to conclude from (at least {MIN_ENCOUNTERS}): {', '.join(few)}."
        )
    return (
        "these data show neither that the classifier hears the animals nor that it hears the "
        "recorder."
    )


def _nuisance(audit: Mapping[str, Any]) -> str:
    if audit["best_control"] is None:
        return f"Controls in which no animal has a part: {NO_CONTROL}"
    p, smallest, n = audit["p_nuisance"], audit["smallest_p"], audit["n_permutations"]
    how = f"all {n} ways to assign" if audit["enumerated"] else f"{n} shuffles of"
    text = (
        f"Controls in which no animal has a part: the best of them is {title(audit['best_control'])}. "
        f"Among {how} the labels between encounters, the best of the same controls, whichever it was, "
        f"did as well with a joint p = {p:.3f} (smallest possible {smallest:.3f})"
    )
    if smallest >= LEVEL:
        outcome = "with so few ways to exchange labels nothing could have been shown"
    else:
        outcome = "they tell the classes apart" if p < LEVEL else "not shown to be more than chance"
    background = audit["background"]
    share = 100 * background["median_share_free"]
    return (
        f"{text}: {outcome}. Background is frames in which nothing exceeds what the clip is at its "
        "quietest, and whose neighbours hold no signal either: half of the clips have "
        f"{share:.0f} % or more of such frames; {background['n_clips_without']} have none. It may "
        "still hold animals too faint to stand out, and then the rule errs on the side of the recorder."
    )


def _gap(gap: Mapping[str, float]) -> str:
    text = (
        f"Random split minus this split: {_interval(gap, '+.2f')}, on the same encounters and clips as "
        "the rest of the audit."
    )
    if gap["low"] > 0:
        return (
            f"{text} So much of a randomly split accuracy is knowing the encounter, and would be gone "
            "on the next voyage."
        )
    return f"{text} No gap is shown with these encounters."


def _swap(swap: Mapping[str, Any] | None, units_per_class: Mapping[str, int]) -> str:
    if swap is None:
        return (
            "Backgrounds could not be swapped: too few encounters have clips with both signals and "
            "frames without, that can be left out together."
        )
    nothing = swap["nothing"]["value"]
    called = f", {100 * nothing:.0f} % were called nothing" if nothing else ""
    text = (
        f"Of {swap['n_clips']} clips whose background was swapped for one of another class, "
        f"{_percent(swap['animal'])} kept the label of their signals and "
        f"{_percent(swap['background'])} took that of the background{called} (before: "
        f"{100 * swap['right_before']['value']:.0f} % right; taken apart and put together over their "
        f"own background: {100 * swap['right_rebuilt']['value']:.0f} %), by classifiers that had heard "
        "neither encounter."
    )
    if min(units_per_class.values()) < MIN_ENCOUNTERS:
        return f"{text} Too few encounters to conclude which of the two the answer follows."
    difference = swap["difference"]
    if difference["low"] > 0:
        return f"{text} The answer follows the signals more than the background."
    if difference["high"] < 0:
        return f"{text} The answer follows the background more than the signals."
    return f"{text} Which of the two the answer follows is not shown."


def _bands(bands: Mapping[str, Any] | None) -> str:
    if bands is None:
        return "Not tried: a band is rows of a picture, and this is not one network on pictures."
    rows = bands["bands"]
    best = max(rows, key=lambda row: row["alone"]["value"])
    lost = min(rows, key=lambda row: row["left_out"]["value"])
    text = (
        f"Alone, the band {_khz(best)} tells most: {_interval(best['alone'])}. Without {_khz(lost)} "
        f"the answer is at its lowest: {_interval(lost['left_out'])}."
    )
    edges = bands["signal_edges_hz"]
    excess = [
        [value for value in column if value is not None]
        for column in zip(*bands["signal_excess_db"].values(), strict=True)
    ]
    means = [sum(values) / len(values) if values else float("-inf") for values in excess]
    if max(means) > 0:
        loudest = means.index(max(means))
        text += (
            f" Signals stand out most from the background at {edges[loudest] / 1000:.1f} to "
            f"{edges[loudest + 1] / 1000:.1f} kHz."
        )
    return text


def _recorder(rows: list[Mapping[str, Any]]) -> str:
    if not rows:
        return (
            "Whether the embeddings know the platform or recorder within one class cannot be tested: "
            "no class has two of them with at least two encounters each."
        )
    shown = "; ".join(
        f"{row['what']} within {row['label']} {_interval(row)} (chance {row['chance']:.2f})"
        for row in rows
    )
    sure = any(row["low"] > row["chance"] for row in rows)
    end = "they can, where the interval lies above chance" if sure else "not shown"
    return (
        f"Can the embeddings tell the equipment where the animals are of one class? {shown}: {end}."
    )


def _association(audit: Mapping[str, Any]) -> str:
    shown = ", ".join(
        f"{association['name']} {association['cramers_v']:.2f}"
        for association in audit["associations"]
        if association["cramers_v"] is not None
    )
    text = f"Association of the label with (Cramér's V, 0 to 1): {shown}. " if shown else ""
    return f"{text}{audit['why']}"


def _beside_evaluate(audit: Mapping[str, Any]) -> str:
    """The reason why the number differs from that of ``evaluate``, and which number to quote."""
    used, evaluated, n_labelled = audit["heard"], audit["evaluated"], audit["n_labelled_clips"]
    draws = plural(used["n_repeats"], "draw")
    here = f"{draws} of the folds, {audit['n_clips']} of {n_labelled} labelled clips"
    if audit["n_clips"] < n_labelled:
        here += f" (at most {used['clips_per_encounter']} of an encounter)"
    if used["without_others"]:
        here += ", without the folders of other sounds"
    model = next(row for row in audit["controls"] if row["kind"] == "model")
    if evaluated is None:
        return (
            f"The audit's {_interval(model)} for the classifier is of {here}; every control got the "
            "same. evaluate hears all clips and draws the folds more often, so its number may differ: "
            "quote that one for how good the classifier is, the audit's only beside the controls."
        )
    low, high = evaluated["ci_low"], evaluated["ci_high"]
    other = {"value": evaluated["balanced_accuracy"], "low": low, "high": high}
    return (
        f"The audit's {_interval(model)} for the classifier and evaluate's {_interval(other)} are of "
        f"the same recipe. The audit: {here}, as every control got. evaluate: "
        f"{plural(evaluated['n_repeats'], 'draw')} of the folds, all clips of {evaluated['n_units']} "
        "encounters. Quote evaluate's for how good the classifier is, the audit's only beside the "
        "controls."
    )


def _quick(audit: Mapping[str, Any]) -> str:
    """What a quick audit leaves out."""
    n, smallest = audit["n_permutations"], audit["smallest_p"]
    how = (
        f"With {n} shuffles no p is below {smallest:.3f}"
        if not audit["enumerated"]
        else f"All {n} ways to assign the labels were tried: no p is below {smallest:.3f}"
    )
    return (
        f"{how}. Left out: the random split, the mean spectrum and the length of the clips, swapped "
        "backgrounds, single bands, and whether the embeddings know the recorder within a class. The "
        "verdict needs none of them; audit without --quick hears them."
    )


def _joint(audit: Mapping[str, Any]) -> str:
    """The feature sets of the joint p-value."""
    n = sum(row["kind"] == "nuisance" for row in audit["controls"])
    return f"in every shuffle the best of the {n} that vote" if n > 1 else "the only one that votes"


def _interval(row: Mapping[str, Any], digits: str = ".2f") -> str:
    return f"{row['value']:{digits}} [{row['low']:{digits}}, {row['high']:{digits}}]"


def _percent(row: Mapping[str, Any]) -> str:
    return f"{100 * row['value']:.0f} % [{100 * row['low']:.0f}, {100 * row['high']:.0f}]"


def _khz(row: Mapping[str, Any]) -> str:
    return f"{row['low_hz'] / 1000:.1f} to {row['high_hz'] / 1000:.1f} kHz"
