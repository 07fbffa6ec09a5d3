"""The differences between the two columns, in words."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pseudorca.study.as_published import Published, PublishedTuning
from pseudorca.study.settings import TRAINING_MODE
from pseudorca.study.straight import NO_SOUND, Honest, Straight
from pseudorca.study.tables import Study
from pseudorca.study.training import Tuning
from pseudorca.values import plural


def side_by_side(study: Study) -> list[tuple[str, str, str]]:
    """Compare the final model in both columns: what, as published, told straight."""
    before = _before(study, study.published) if study.published is not None else {}
    after = _after(study.straight)
    rows = [(what, before.get(what, "–"), value) for what, value in after.items()]
    return [row for row in rows if row[1:] != ("–", "–")]


def _before(study: Study, published: Published) -> dict[str, str]:
    test = published.tuning.test
    low, high = published.test_interval
    torn = (
        "encounters also in training" if published.parts.n_torn_encounters else "encounters whole"
    )
    values = {
        "tested on": f"{plural(len(test.truth), 'file')}, {torn}",
        "accuracy": f"{test.published(0).accuracy:.3f}",
        "always naming the most frequent class": f"{test.majority:.3f}",
        "balanced accuracy, by clip": f"{test.balanced_accuracy:.3f} [{low:.2f}, {high:.2f}]",
    }
    for k, label in enumerate(study.classes):
        scores = test.published(k)
        printed = "" if k == published.positive else " (not printed)"
        values[f"recall of {label}"] = f"{scores.recall:.3f}{printed}"
        values[f"precision of {label}"] = f"{scores.precision:.3f}{printed}"
    return values


def _after(straight: Straight) -> dict[str, str]:
    clip, encounter = straight.final.clip, straight.final.encounter
    kept = (
        "encounters never heard" if straight.encounters_whole else "encounters torn, moments whole"
    )
    return {
        "tested on": (
            f"{plural(clip['n_units'], 'clip')} of {plural(encounter['n_units'], 'encounter')}; {kept}"
        ),
        "accuracy": f"{clip['accuracy']:.3f}",
        "always naming the most frequent class": f"{clip['majority_accuracy']:.3f}",
        **{
            f"{what} of {label}": "–" if row[what] is None else f"{row[what]:.3f}"
            for label, row in clip["per_class"].items()
            for what in ("recall", "precision")
        },
        "balanced accuracy, by clip": _with_interval(clip),
        "balanced accuracy, by encounter": _with_interval(encounter),
        "always naming one class, balanced": f"{clip['majority_baseline']:.3f}",
        "without listening, by clip": _with_interval(straight.no_sound.clip),
    }


def _with_interval(result: Mapping[str, Any]) -> str:
    return f"{result['balanced_accuracy']:.3f} [{result['ci_low']:.2f}, {result['ci_high']:.2f}]"


def what_changed(study: Study) -> list[str]:
    """Describe the differences between the columns, a sentence or more each."""
    published = study.published
    if published is None:
        return [*_of_the_straight(study.straight), _of_the_settings(study)]
    return [
        *_of_the_published(study, published),
        *_of_the_straight(study.straight),
        _from_one_to_the_other(study.straight, published),
        _of_the_settings(study),
        *_of_the_switches(published),
    ]


def _of_the_published(study: Study, published: Published) -> list[str]:
    test, parts, classes = published.tuning.test, published.parts, study.classes
    scores = test.published(published.positive)
    frequent = classes[int(np.bincount(test.truth).argmax())]
    sentences = [
        f"As published, the final model names {100 * scores.accuracy:.1f} % of {len(test.truth)} "
        f"test files rightly; calling every file {frequent} would be right on "
        f"{100 * test.majority:.1f} %. Precision {scores.precision:.3f} and recall "
        f"{scores.recall:.3f} are those of {classes[published.positive]}."
    ]
    other = 1 - published.positive
    if n := int((test.truth == other).sum()):
        right = int(test.confusion[other, other])
        sentences.append(
            f"Of the {n} {classes[other]} files in the test it finds {right} "
            f"({100 * right / n:.0f} %); the mean over both classes, the balanced accuracy of the "
            f"same answers, is {test.balanced_accuracy:.3f}."
        )
    torn = []
    if parts.n_torn_encounters:
        n_encounters = study.material.clips["encounter"].nunique()
        torn.append(f"{parts.n_torn_encounters} of {plural(n_encounters, 'encounter')}")
    if parts.n_torn_moments:
        torn.append(f"{plural(parts.n_torn_moments, 'moment')} (channels of one sound)")
    if torn:
        sentences.append(f"In that split {' and '.join(torn)} stand on more than one side.")
    if parts.n_overwritten:
        sentences.append(
            f"{parts.n_overwritten} of {plural(len(study.material.clips), 'file')} took no part, since "
            "the picture of another file of the same name overwrote theirs."
        )
    return sentences


def _of_the_straight(straight: Straight) -> list[str]:
    clip, encounter, control = straight.final.clip, straight.final.encounter, straight.no_sound.clip
    base = clip["majority_baseline"]
    where = "on encounters never heard" if straight.encounters_whole else "with moments kept whole"
    concluded = (
        "The interval by encounter includes that: these recordings do not show that the model "
        "can tell the classes apart."
        if encounter["ci_low"] <= base
        else "The interval by encounter lies above that."
    )
    return [
        f"Told straight, {where}: balanced accuracy {clip['balanced_accuracy']:.2f} by clip (95 % "
        f"interval {clip['ci_low']:.2f} to {clip['ci_high']:.2f}) and "
        f"{encounter['balanced_accuracy']:.2f} by encounter ({encounter['ci_low']:.2f} to "
        f"{encounter['ci_high']:.2f}), where always naming one class scores {base:.2f}. "
        f"{concluded}",
        f"Without listening, from {NO_SOUND} alone (animals may have a part in the last two), the "
        f"balanced accuracy by clip is {control['balanced_accuracy']:.2f} ({control['ci_low']:.2f} to "
        f"{control['ci_high']:.2f}): {_beyond(clip, control)}",
    ]


def _beyond(result: Mapping[str, Any], control: Mapping[str, Any]) -> str:
    apart = result["balanced_accuracy"] - control["balanced_accuracy"]
    if apart <= 0:
        return "the model is not shown to say more than these facts give away."
    if result["ci_low"] <= control["ci_high"]:
        return f"the model reaches {apart:.2f} more, less than these intervals can tell apart."
    return f"the model reaches {apart:.2f} more."


def _from_one_to_the_other(straight: Straight, published: Published) -> str:
    clip, test = straight.final.clip, published.tuning.test
    accuracy, balanced = test.published(published.positive).accuracy, test.balanced_accuracy
    return (
        f"So from as published to told straight, accuracy goes from {accuracy:.3f} to "
        f"{clip['accuracy']:.3f} ({clip['accuracy'] - accuracy:+.3f}), balanced accuracy "
        f"by clip from {balanced:.3f} to {clip['balanced_accuracy']:.3f} "
        f"({clip['balanced_accuracy'] - balanced:+.3f})."
    )


def _of_the_settings(study: Study) -> str:
    straight = study.straight.tuning
    trained = [result for _, _, result in straight.settings if isinstance(result, Honest)]
    width = float(np.median([h.clip["ci_high"] - h.clip["ci_low"] for h in trained]))
    spread = _spread(straight)
    text = (
        f"The {len(trained)} settings of Table 4.3 span {spread:.2f} in balanced accuracy told "
        f"straight; the 95 % interval of one is {width:.2f} wide"
    )
    text += ": the table cannot choose between them." if spread < width else "."
    if study.published is not None:
        published = study.published.tuning
        text += (
            f" As published they span {_spread(published):.3f} in accuracy, and rate "
            f"{published.best_rate:g} with momentum {published.best_momentum:g} was chosen; told "
            f"straight it would have been {straight.best_rate:g} and {straight.best_momentum:g}."
        )
    return text


def _spread(tuning: Tuning[Any]) -> float:
    """Return the range of the scores of Table 4.3."""
    scores = [result.score for _, _, result in tuning.settings if not isinstance(result, str)]
    return float(max(scores) - min(scores))


def _of_the_switches(published: Published) -> list[str]:
    sentences = []
    base = published.baseline.test.balanced_accuracy
    change = {
        name: tuning.test.balanced_accuracy - base
        for name, tuning in published.without.items()
        if isinstance(tuning, PublishedTuning)
    }
    most = max(change, key=lambda name: abs(change[name]), default="")
    if most and change[most]:
        sentences.append(
            f"Of the switches, {most} moves the balanced accuracy of the test the most: turned "
            f"off alone, it goes from {base:.3f} to {base + change[most]:.3f}."
        )
    if published.closeness:
        gaps = [abs(row["adapted once"] - row["training mode"]) for row in published.closeness]
        plain = [abs(row["as pretrained"] - row["training mode"]) for row in published.closeness]
        alike = [row["adapted once: named alike"] for row in published.closeness]
        sentences.append(
            "Training mode, run with a pass per clip and epoch, against its fast approximation "
            "(statistics adapted once): validation accuracies are at most "
            f"{max(gaps):.3f} apart (the network left as pretrained: {max(plain):.3f}), and at least "
            f"{100 * min(alike):.0f} % of the clips are named alike."
        )
    elif TRAINING_MODE in published.switches:
        sentences.append(
            "Training mode was approximated by adapting the batch-norm statistics once, in networks "
            "that have any; how close that comes was not measured in this run "
            "(--exact-training-mode measures it)."
        )
    return sentences
