"""What every stage needs of a project: its recordings, and ids of settings."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import xxhash

from pseudorca.errors import ManifestError
from pseudorca.store import Store

Progress = Callable[[int, int], None]


def project_recordings(store: Store) -> pd.DataFrame:
    recordings = store.read("recordings")
    if recordings.empty:
        raise ManifestError(
            f"{store.folder} holds no recordings. Run: pseudorca scan FOLDER --project {store.folder}"
        )
    return recordings


def hash_of(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=plain_value)
    return xxhash.xxh3_128(text.encode()).hexdigest()[:20]


def plain_value(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return str(value)


def populations(store: Store, recordings: pd.DataFrame) -> pd.DataFrame:
    """The recordings without those of folders that stand for none of the populations."""
    return recordings[~recordings["label"].isin(store.setting("other") or [])]
