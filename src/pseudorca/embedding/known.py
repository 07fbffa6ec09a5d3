"""The embedders that a project has used, each kept by its id, so that they can be compared."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pseudorca.embedding.embedder import Embedder, save_embedder
from pseudorca.store import Store

EMBEDDERS_FOLDER = "embedders"

_MIN_CLIPS = 16  # embedded in one run, for its speed to mean anything


@dataclass(frozen=True)
class KnownEmbedder:
    """An embedder that the project has used."""

    embedder_id: str
    name: str
    """The backbone's, with what tells it from others of that name."""
    folder: Path
    embedding_size: int
    licence: str
    source: str
    front_end: dict[str, Any]
    clips_per_s: float | None
    """Of its longest run, from file to stored vector; None if there was none of enough clips."""


def keep_embedder(store: Store, embedder: Embedder) -> None:
    """Save an embedder under its id, beside those that the project used before."""
    save_embedder(embedder, store.folder / EMBEDDERS_FOLDER / embedder.embedder_id)


def known_embedders(store: Store) -> list[KnownEmbedder]:
    """All embedders of a project, in the order of their names."""
    found = []
    for path in sorted((store.folder / EMBEDDERS_FOLDER).glob("*/embedder.json")):
        about = json.loads(path.read_text())
        found.append((path.parent, about))
    speeds = _speeds(store)
    plain = Counter(about["backbone"]["name"] for _, about in found)
    known = []
    for folder, about in found:
        backbone, embedder_id = about["backbone"], about["embedder_id"]
        name = backbone["name"]
        if plain[name] > 1:
            name = f"{name} ({_differs(about, [other for _, other in found])})"
        known.append(
            KnownEmbedder(
                embedder_id, name, folder, backbone["embedding_size"], backbone["licence"],
                backbone["source"], about["front_end"], speeds.get(embedder_id),
            )
        )  # fmt: skip
    return sorted(known, key=lambda one: one.name)


def _differs(about: dict[str, Any], others: list[dict[str, Any]]) -> str:
    """What tells an embedder from those of the same network, or its id where that is too long."""
    same = [
        other for other in others
        if other["backbone"]["name"] == about["backbone"]["name"] and other is not about
    ]  # fmt: skip
    mine = _settings(about)
    words = [
        f"{key} {value}"
        for key, value in mine.items()
        if any(_settings(other).get(key) != value for other in same)
    ]
    text = ", ".join(words)
    return text if 0 < len(text) <= 40 else str(about["embedder_id"][:8])


def _settings(about: dict[str, Any]) -> dict[str, Any]:
    derived = ("version", "sample_rate", "fmin_hz", "fmax_hz")  # told by the band
    settings = {key: value for key, value in about["front_end"].items() if key not in derived}
    settings["front end"] = settings.pop("name")
    backbone = about["backbone"]
    return settings | {"layer": backbone["layer"], "weights": backbone["weights_source"]}


def _speeds(store: Store) -> dict[str, float]:
    """Clips per second, from file to stored vector, of each embedder's longest run."""
    longest: dict[str, tuple[int, float]] = {}
    for text in store.read("runs", where="verb = 'embed'")["settings"]:
        run = json.loads(text)
        n, seconds = run.get("n_new", 0), run.get("seconds", 0.0)
        if n >= _MIN_CLIPS and seconds and n > longest.get(run["embedder_id"], (0, 0.0))[0]:
            longest[run["embedder_id"]] = n, n / seconds
    return {embedder_id: speed for embedder_id, (_, speed) in longest.items()}
