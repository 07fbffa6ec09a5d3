"""The differences between the two columns, in words."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pseudorca.study.as_published import Published, Without
from pseudorca.study.figures import published_interval
from pseudorca.study.material import Material
from pseudorca.study.straight import NO_SOUND, Honest, Straight
from pseudorca.study.training import Training

Row = tuple[str, str, str]


def side_by_side(material: Material, straight: Straight, published: Published | None) -> list[Row]:
    """Compare the final model in both columns.

    Parameters
    ----------
    material : Material
    straight : Straight
    published : Published or None

    Returns
    -------
    list of (what, as published, told straight)
    """
    before = _before(material, published) if published is not None else {}
    after = _after(straight) if isinstance(straight.final, Honest) else {}
    order = ["tested on", "accuracy", "always naming the most frequent class"]
    order += [
        f"{what} of {label}" for label in material.classes for what in ("recall", "precision")
    ]
    order += [
        "balanced accuracy, by clip", "balanced accuracy, by encounter",
        "always naming one class, balanced", "without listening, by clip",
    ]  # fmt: skip
    has_result = [what for what in order if what in before or what in after]
    return [(what, before.get(what, "–"), after.get(what, "–")) for what in has_result]


def _before(material: Material, published: Published) -> dict[str, str]:
    test = published.tuning.test
    encounters = material.clips["encounter"].to_numpy(dtype=object)[published.parts.test]
    low, high, _ = published_interval(test, encounters, len(material.classes))
    torn = (
        "encounters also in training" if published.parts.n_torn_encounters else "encounters whole"
    )
    values = {
        "tested on": f"{len(test.truth)} files, {torn}",
        "accuracy": f"{test.published(0).accuracy:.3f}",
        "always naming the most frequent class": f"{test.majority:.3f}",
        "balanced accuracy, by clip": f"{test.balanced_accuracy:.3f} [{low:.2f}, {high:.2f}]",
    }
    for k, label in enumerate(material.classes):
        scores = test.published(k)
        printed = "" if k == published.positive else " (not printed)"
        values[f"recall of {label}"] = f"{scores.recall:.3f}{printed}"
        values[f"precision of {label}"] = f"{scores.precision:.3f}{printed}"
    return values


def _after(straight: Straight) -> dict[str, str]:
    assert isinstance(straight.final, Honest)
    clip, encounter = straight.final.clip, straight.final.encounter
    kept = (
        "encounters never heard" if straight.encounters_whole else "encounters torn, moments whole"
    )
    values = {
        "tested on": f"{clip['n_units']} clips of {encounter['n_units']} encounters; {kept}",
        "accuracy": f"{clip['accuracy']:.3f}",
        "always naming the most frequent class": f"{clip['majority_accuracy']:.3f}",
        "balanced accuracy, by clip": _with_interval(clip),
        "balanced accuracy, by encounter": _with_interval(encounter),
        "always naming one class, balanced": f"{clip['majority_baseline']:.3f}",
        "without listening, by clip": _with_interval(straight.no_sound.clip),
    }
    for label, row in clip["per_class"].items():
        for what in ("recall", "precision"):
            if row[what] is not None:
                values[f"{what} of {label}"] = f"{row[what]:.3f}"
    return values


def _with_interval(result: Mapping[str, Any]) -> str:
    return f"{result['balanced_accuracy']:.3f} [{result['ci_low']:.2f}, {result['ci_high']:.2f}]"


def what_changed(material: Material, straight: Straight, published: Published | None) -> list[str]:
    """Describe the differences between the columns.

    Parameters
    ----------
    material : Material
    straight : Straight
    published : Published or None

    Returns
    -------
    list of str
    """
    final = straight.final if isinstance(straight.final, Honest) else None
    sentences: list[str] = []
    if published is not None:
        sentences += _of_the_published(material, published)
    if final is not None:
        sentences += _of_the_straight(material, straight, final, published)
    sentences += _of_the_settings(straight, published)
    if published is not None:
        sentences += _of_the_switches(published)
    return sentences


def _of_the_published(material: Material, published: Published) -> list[str]:
    test, parts = published.tuning.test, published.parts
    positive = material.classes[published.positive]
    scores = test.published(published.positive)
    frequent = material.classes[int(np.bincount(test.truth).argmax())]
    sentences = [
        f"As published, the final model names {100 * scores.accuracy:.1f} % of {len(test.truth)} "
        f"test files rightly; calling every file {frequent} would be right on "
        f"{100 * test.majority:.1f} %. Precision {scores.precision:.3f} and recall "
        f"{scores.recall:.3f} are those of {positive}."
    ]
    for k, label in enumerate(material.classes):
        n = int((test.truth == k).sum())
        if k != published.positive and n:
            right = int(test.confusion[k, k])
            sentences.append(
                f"Of the {n} {label} files in the test it finds {right} ({100 * right / n:.0f} %); "
                "the mean over both classes, the balanced accuracy of the same answers, is "
                f"{test.balanced_accuracy:.3f}."
            )
    torn = []
    if parts.n_torn_encounters:
        n_encounters = material.clips["encounter"].nunique()
        torn.append(f"{parts.n_torn_encounters} of {n_encounters} encounters")
    if parts.n_torn_moments:
        torn.append(f"{parts.n_torn_moments} moments (channels of one sound)")
    if torn:
        sentences.append(f"In that split {' and '.join(torn)} stand on more than one side.")
    if parts.n_overwritten:
        sentences.append(
            f"{parts.n_overwritten} of {len(material.clips)} files took no part, since the picture of "
            "another file of the same name overwrote theirs."
        )
    return sentences


def _of_the_straight(
    material: Material, straight: Straight, told: Honest, published: Published | None
) -> list[str]:
    clip, encounter = told.clip, told.encounter
    base = clip["majority_baseline"]
    where = "on encounters never heard" if straight.encounters_whole else "with moments kept whole"
    sentences = [
        f"Told straight, {where}: balanced accuracy {clip['balanced_accuracy']:.2f} by clip (95 % "
        f"interval {clip['ci_low']:.2f} to {clip['ci_high']:.2f}) and "
        f"{encounter['balanced_accuracy']:.2f} by encounter ({encounter['ci_low']:.2f} to "
        f"{encounter['ci_high']:.2f}), where always naming one class scores {base:.2f}. "
        + (
            "The interval by encounter includes that: these recordings do not show that the model "
            "can tell the classes apart."
            if encounter["ci_low"] <= base
            else "The interval by encounter lies above that."
        )
    ]
    control = straight.no_sound.clip
    sentences.append(
        f"Without listening, from {NO_SOUND} alone (animals may have a part in the last two), the "
        f"balanced accuracy by clip is {control['balanced_accuracy']:.2f} ({control['ci_low']:.2f} to "
        f"{control['ci_high']:.2f}): " + _beyond(clip, control)
    )
    if published is not None:
        test = published.tuning.test
        scores = test.published(published.positive)
        sentences.append(
            f"So from as published to told straight, accuracy goes from {scores.accuracy:.3f} to "
            f"{clip['accuracy']:.3f} ({clip['accuracy'] - scores.accuracy:+.3f}), balanced accuracy "
            f"by clip from {test.balanced_accuracy:.3f} to {clip['balanced_accuracy']:.3f} "
            f"({clip['balanced_accuracy'] - test.balanced_accuracy:+.3f})."
        )
    return sentences


def _beyond(result: Mapping[str, Any], control: Mapping[str, Any]) -> str:
    apart = result["balanced_accuracy"] - control["balanced_accuracy"]
    if apart <= 0:
        return "the model is not shown to say more than these facts give away."
    if result["ci_low"] <= control["ci_high"]:
        return f"the model reaches {apart:.2f} more, less than these intervals can tell apart."
    return f"the model reaches {apart:.2f} more."


def _of_the_settings(straight: Straight, published: Published | None) -> list[str]:
    trained = [h for h in (*straight.rates.values(), *straight.momenta.values())
             if isinstance(h, Honest)]  # fmt: skip
    values = [h.clip["balanced_accuracy"] for h in trained]
    width = float(np.median([h.clip["ci_high"] - h.clip["ci_low"] for h in trained]))
    spread = max(values) - min(values)
    text = (
        f"The {len(trained)} settings of Table 4.3 span {spread:.2f} in balanced accuracy told "
        f"straight; the 95 % interval of one is {width:.2f} wide"
    )
    text += ": the table cannot choose between them." if spread < width else "."
    if published is not None:
        t = published.tuning
        accuracies = [
            row.history[row.best_epoch - 1]["validation_accuracy"]
            for row in (*t.rates.values(), *t.momenta.values())
            if isinstance(row, Training)
        ]
        text += (
            f" As published they span {max(accuracies) - min(accuracies):.3f} in accuracy, and rate "
            f"{t.best_rate:g} with momentum {t.best_momentum:g} was chosen; told straight it would "
            f"have been {straight.best_rate:g} and {straight.best_momentum:g}."
        )
    return [text]


def _of_the_switches(published: Published) -> list[str]:
    sentences = []
    off = {name: w.tuning for name, w in published.without.items() if isinstance(w, Without)}
    if published.baseline is not None and off:
        base = published.baseline.test.balanced_accuracy
        change = {name: tuning.test.balanced_accuracy - base for name, tuning in off.items()}
        most = max(change, key=lambda name: abs(change[name]))
        if change[most]:
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
    elif "training-mode" in published.switches:
        sentences.append(
            "Training mode was approximated by adapting the batch-norm statistics once, in networks "
            "that have any; how close that comes was not measured in this run "
            "(--exact-training-mode measures it)."
        )
    return sentences


def contradictions(rows: list[Mapping[str, Any]]) -> list[str]:
    """List contradictions between the printed numbers of the study.

    Parameters
    ----------
    rows : list of rows, as :func:`pseudorca.study.tables.study_numbers` returns

    Returns
    -------
    list of str

    Examples
    --------
    >>> from pseudorca.study.tables import study_numbers
    >>> contradictions(study_numbers())[-1]
    'EfficientNetV2-S names every clip Pelagic: accuracy and precision .8670, recall 1.'
    """
    by_model = {row["model"]: row for row in rows}
    resnet, best = by_model["ResNet-18"], by_model["ResNet-18, learning rate 0.01"]
    final = by_model["final model"]
    return [
        f"ResNet-18 stands with accuracy {resnet['printed_accuracy']:.4f} in Table 4.1 and .9256 "
        f"elsewhere; its confusion matrix gives {resnet['accuracy']:.4f}.",
        f"The best learning rate's row prints {best['printed_accuracy']:.4f} / "
        f"{best['printed_precision']:.4f} / {best['printed_recall']:.4f}. No confusion matrix of 75 "
        "and 489 clips has all three: this precision with this recall means accuracy "
        f"{best['accuracy_of_precision_and_recall']:.4f}, which Table 4.3 prints for rate 0.005.",
        f"The final model has {final['printed_accuracy']:.4f} in the table and .9389 in the text; its "
        f"confusion matrix gives {final['accuracy']:.4f}.",
        "The majority class is given as 86.7 % and 87.6 %; it is "
        f"{100 * resnet['majority_accuracy']:.1f} % in validation and "
        f"{100 * final['majority_accuracy']:.1f} % in the test.",
        "Text and table axes call Insular positive; precision and recall are Pelagic's. For Insular, "
        f"recall in the test is 48 of 74 = {final['insular_recall']:.2f}, and balanced accuracy "
        f"{final['balanced_accuracy']:.2f}.",
        "Training pictures are saved without the tight margin in the listing (1200 x 800), and are "
        "950 x 636 in the text.",
        "EfficientNetV2-S names every clip Pelagic: accuracy and precision .8670, recall 1.",
    ]
