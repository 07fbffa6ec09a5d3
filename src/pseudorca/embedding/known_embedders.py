"""The embedders that a project has used, each kept by its id, so that they can be compared."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pseudorca.embedding.embedder import Embedder, save_embedder
from pseudorca.store import Store

EMBEDDERS_FOLDER = "embedders"

_MIN_CLIPS = 16  # of a run whose speed counts


@dataclass(frozen=True)
class KnownEmbedder:
    """An embedder that the project has used.

    Examples
    --------
    >>> known = KnownEmbedder("a1b2", "toy", Path("embedders/a1b2"), 8, "MIT", "here", {}, None)
    >>> known.embedding_size
    8
    """

    embedder_id: str
    name: str
    """The name of the backbone, with the settings that differ from embedders of the same name."""
    folder: Path
    embedding_size: int
    licence: str
    source: str
    front_end: dict[str, Any]
    clips_per_s: float | None
    """Clips per second of the longest run, from file to stored vector; None without a long run."""


def keep_embedder(store: Store, embedder: Embedder) -> None:
    """Save an embedder under its id, beside earlier embedders of the project.

    Parameters
    ----------
    store : Store
    embedder : Embedder

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from pseudorca.backbones import load_backbone
    >>> from pseudorca.frontends.classic import ClassicFrontEnd
    >>> embedder = Embedder(ClassicFrontEnd(features="logmel"), load_backbone("logmel"), "cpu")
    >>> with TemporaryDirectory() as folder:
    ...     store = Store(Path(folder), create=True)
    ...     keep_embedder(store, embedder)
    ...     [(known.name, known.embedding_size) for known in known_embedders(store)]
    [('logmel', 256)]
    """
    save_embedder(embedder, store.folder / EMBEDDERS_FOLDER / embedder.embedder_id)


def known_embedders(store: Store) -> list[KnownEmbedder]:
    """All embedders of a project, in the order of their names.

    Parameters
    ----------
    store : Store

    Returns
    -------
    list of KnownEmbedder

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     known_embedders(Store(Path(folder), create=True))
    []
    """
    records = []
    for path in sorted((store.folder / EMBEDDERS_FOLDER).glob("*/embedder.json")):
        record = json.loads(path.read_text())
        records.append((path.parent, record))
    speeds = _speeds(store)
    plain = Counter(record["backbone"]["name"] for _, record in records)
    known = []
    for folder, record in records:
        backbone, embedder_id = record["backbone"], record["embedder_id"]
        name = backbone["name"]
        if plain[name] > 1:
            name = f"{name} ({_differs(record, [other for _, other in records])})"
        known.append(
            KnownEmbedder(
                embedder_id, name, folder, backbone["embedding_size"], backbone["licence"],
                backbone["source"], record["front_end"], speeds.get(embedder_id),
            )
        )  # fmt: skip
    return sorted(known, key=lambda embedder: embedder.name)


def _differs(record: dict[str, Any], others: list[dict[str, Any]]) -> str:
    """The settings that differ from embedders of the same network, or the id if these are too long."""
    same = [
        other for other in others
        if other["backbone"]["name"] == record["backbone"]["name"] and other is not record
    ]  # fmt: skip
    settings = _settings(record)
    words = [
        f"{key} {value}"
        for key, value in settings.items()
        if any(_settings(other).get(key) != value for other in same)
    ]
    text = ", ".join(words)
    return text if 0 < len(text) <= 40 else str(record["embedder_id"][:8])


def _settings(record: dict[str, Any]) -> dict[str, Any]:
    derived = ("version", "sample_rate", "fmin_hz", "fmax_hz")  # derived from the band
    settings = {key: value for key, value in record["front_end"].items() if key not in derived}
    settings["front end"] = settings.pop("name")
    backbone = record["backbone"]
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
