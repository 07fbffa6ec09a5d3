"""Recordings and what was said of their clips, as small tables."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pseudorca.prediction.effort import Effort
from pseudorca.prediction.files import PredictionFiles

CLASSES = ("Insular", "Pelagic")


def _recordings(*rows: dict[str, Any]) -> pd.DataFrame:
    table = []
    for k, row in enumerate(rows):
        base = {
            "recording_id": f"rec{k}", "root": "/sea", "path": f"x{k}.wav", "sample_rate": 48_000,
            "n_channels": 1, "duration_s": 300.0, "start_utc": None, "platform": None,
            "encounter": "e", "selection": None, "moment_id": f"moment{k}",
        }  # fmt: skip
        table.append(base | row)
    made = pd.DataFrame(table)
    times = pd.to_datetime(made["start_utc"], utc=True, format="ISO8601")
    made["start_utc"] = times.astype("datetime64[us, UTC]")
    return made


def _clips(
    *rows: tuple[int, float, float, str], probabilities: Sequence[float] | None = None
) -> pd.DataFrame:
    """Clips given as (number of the recording, start, end, decision)."""
    chosen = probabilities or [0.9] * len(rows)
    table = pd.DataFrame(
        [
            {
                "path": f"x{k}.wav", "encounter": "e", "start_s": start, "end_s": end,
                "start_utc": pd.NaT, "n_moments": 1, "decision": decision, "reason": "",
                "most_probable": decision, "probability": p, "prior": "uniform",
                "depends_on_prior": False, "novelty": 0.5,
                **{f"p_{label}": p if label == decision else 1 - p for label in CLASSES},
                "in_training": False, "recording_id": f"rec{k}", "classifier_id": "c",
            }
            for (k, start, end, decision), p in zip(rows, chosen, strict=True)
        ]
    )  # fmt: skip
    if table.empty:  # as predict gives it
        columns = [*_clips((0, 0.0, 1.0, "Insular")).columns]
        return pd.DataFrame(columns=columns, dtype="string")
    return table


@pytest.fixture(scope="session")
def recordings() -> Callable[..., pd.DataFrame]:
    """Make the table of recordings from what sets each apart."""
    return _recordings


@pytest.fixture(scope="session")
def clips() -> Callable[..., pd.DataFrame]:
    """Make the table of clips that ``predict`` gives."""
    return _clips


def write_predictions(
    tables: Mapping[str, pd.DataFrame], recordings: pd.DataFrame, folder: Path, **settings: Any
) -> dict[str, list[Path]]:
    """Write complete predictions at once."""
    growing = ("clip", "recording")
    with PredictionFiles(folder, recordings, **settings) as files:
        files.add({name: tables[name] for name in growing if name in tables}, recordings)
        return files.finish({name: tables[name] for name in tables if name not in growing})


def summarise_effort(
    clips: pd.DataFrame, recordings: pd.DataFrame, detections: pd.DataFrame, *, per: Any = "hour"
) -> pd.DataFrame:
    """The effort of all recordings at once."""
    labels = [name.removeprefix("p_") for name in clips.columns if name.startswith("p_")]
    effort = Effort(recordings, labels)
    effort.add(clips)
    return effort.table(detections, per=per)
