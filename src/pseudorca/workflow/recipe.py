"""What a classifier is made by, apart from the recordings: its recipe, and how it is typed."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pseudorca.learning.centring import PLAIN, Preparation
from pseudorca.learning.heads import FineTunedHead, Head, LogisticHead, make_head
from pseudorca.learning.preparing import view_set
from pseudorca.store import Store

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
