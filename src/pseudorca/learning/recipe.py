"""What a classifier is made by, apart from the recordings: its recipe, and how it is typed."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pseudorca.embedding.augmentation.copies import view_set
from pseudorca.learning.heads.base import Head
from pseudorca.learning.heads.finetuned import FineTunedHead
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.heads.registry import make_head
from pseudorca.learning.preparation import PLAIN, Preparation
from pseudorca.store import Store
from pseudorca.values import plain

_OPTIONS = {
    "balance": "--balance",
    "c": "--c",
    "learning_rate": "--learning-rate",
    "momentum": "--momentum",
    "n_epochs": "--epochs",
    "seed": "--seed",
}
_NO_SETTINGS = ("head", "tuned", "pseudo_labels")


def recipe_of(
    store: Store, embedder_id: str, head: Head, preparation: Preparation
) -> dict[str, Any]:
    """Embedder, head and preparation as JSON values: equal where classifiers are made alike."""
    recipe: dict[str, Any] = {"embedder_id": embedder_id, "head": head.settings()}
    if preparation != PLAIN:
        recipe["preparation"] = preparation.settings()
    if preparation.views or preparation.test_views:
        recipe["views"] = asdict(view_set(store, embedder_id))
    return recipe


def arguments_of(recipe: Mapping[str, Any], *, for_audit: bool = False) -> str:
    """The options of ``train`` and ``evaluate`` that give a recipe's head and preparation.

    Parameters
    ----------
    recipe : mapping, as from :func:`recipe_of`
    for_audit : bool
        Those that ``audit`` takes: it neither tunes nor trains through the network

    Returns
    -------
    str, as it is typed after a verb, with a space before; empty for what is done without options
    """
    head = recipe["head"]
    one = head["members"][0] if head["head"] == "mean" else head
    words: list[str] = []
    if not (for_audit and one["head"] == FineTunedHead.name):
        words += _head_words(one)
    if head["head"] == "mean":
        words += ["--join", "scores"]
    if not for_audit:
        if tuned := one.get("tuned"):
            words += ["--tune", tuned["search"]]
        if pseudo := head.get("pseudo_labels"):
            words += ["--pseudo-labels", f"{pseudo['min_probability']:g}"]
            words += ["--pseudo-rounds", str(pseudo["n_rounds"])] * (pseudo["n_rounds"] > 1)
            words += ["--pseudo-weight", f"{pseudo['weight']:.3g}"] * (pseudo["weight"] < 1)
    if made := Preparation(**recipe.get("preparation", {})).words:
        words += ["--prepare", ",".join(made)]
    return f" {shlex.join(words)}" if words else ""


def _head_words(settings: Mapping[str, Any]) -> list[str]:
    name = settings["head"]
    words = [] if name == LogisticHead.name else ["--head", name]
    usual = make_head(name).settings()
    for key, value in settings.items():
        if key in _NO_SETTINGS or value == usual[key]:
            continue
        text = value if isinstance(value, str) else json.dumps(value)
        words += [_OPTIONS[key], text] if key in _OPTIONS else ["--head-set", f"{key}={text}"]
    return words


_HEADS = {
    "svm": "support vector machines",
    "forest": "random forest",
    "gmm": "Gaussian mixtures",
    "hmm": "hidden Markov models",
}


def describe_recipe(recipe: Mapping[str, Any]) -> str:
    """Say in words how a head is trained, and on what is made of the embeddings."""
    made = Preparation(**recipe.get("preparation", {})).name
    return describe_head(recipe["head"]) + (f"; embeddings {made}" if made else "")


def describe_head(settings: Mapping[str, Any]) -> str:
    """Say in words how a head is trained."""
    balance = {
        "none": "classes as frequent as they are",
        "weights": "classes weighted equally",
        "sampler": "weighted random sampler",
    }.get(str(settings.get("balance")), str(settings.get("balance")))
    if pseudo := settings.get("pseudo_labels"):
        rest = {key: value for key, value in settings.items() if key != "pseudo_labels"}
        return (
            f"{describe_head(rest)}, with pseudo-labels from a probability of "
            f"{pseudo['min_probability']:g}"
        )
    if settings.get("head") == "mean":
        members = ", ".join(dict.fromkeys(describe_head(one) for one in settings["members"]))
        return f"mean of the scores of a head per network ({members})"
    if tuned := settings.get("tuned"):
        names = ", ".join(tuned["space"])
        return f"{settings['head']} ({names} by {tuned['search']} in inner folds, {balance})"
    if settings.get("head") == "logistic":
        c = "C by inner folds" if settings.get("c") is None else f"C = {settings['c']:g}"
        return f"logistic regression ({c}, {balance})"
    if settings.get("head") == "softmax":
        return (
            f"softmax by SGD (learning rate {settings['learning_rate']:g}, momentum "
            f"{settings['momentum']:g}, {settings['n_epochs']} epochs, {balance})"
        )
    if settings.get("head") == "finetuned":
        return _finetuned(settings, balance)
    said = [
        f"{name.replace('_', ' ')} {plain(value)}"
        for name, value in settings.items()
        if name not in ("head", "balance", "seed") and value is not None
    ]
    name = _HEADS.get(str(settings.get("head")), str(settings.get("head")))
    return f"{name} ({', '.join([*said, balance])})"


def _finetuned(settings: Mapping[str, Any], balance: str) -> str:
    """The settings that matter most, and all that are not the usual ones."""
    usual = make_head("finetuned").settings()
    shown = ("stages", "learning_rate", "n_epochs", "tuned_share")
    stages = settings["stages"]
    share = settings["tuned_share"]
    if share is None:
        share = 0.5 if settings["start"] == "pretrained" else 1
    said = [
        f"{stages if stages in ('all', 'none') else f'the last {stages}'} of its stages",
        f"learning rate {settings['learning_rate']:g}",
        f"{settings['n_epochs']} epochs",
        "all the way" if share == 1 else f"{share:g} of the way",
        balance,
    ]
    said += [
        f"{name.replace('_', ' ')} {plain(value)}"
        for name, value in settings.items()
        if name not in (*shown, "head", "balance", "seed") and value != usual.get(name)
    ]
    return f"the network fine-tuned ({', '.join(said)})"
