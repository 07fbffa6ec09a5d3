"""Recordings to the table ``clips``."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from pseudorca.recordings.clips import ClipOptions, cut, read_raven
from pseudorca.store import Store
from pseudorca.workflow.project import project_recordings


def clip_project(
    store: Store, options: ClipOptions, *, selections: Sequence[Path] = ()
) -> dict[str, Any]:
    """Cut the recordings into clips, or only the selections of Raven tables."""
    recordings = project_recordings(store)
    chosen = read_raven(selections, recordings) if selections else None
    clips, problems = cut(recordings, options, selections=chosen)
    store.keep_setting("clips", asdict(options))
    store.keep_setting("selections", [str(path.resolve()) for path in selections])
    store.write("clips", clips)
    store.replace("problems", problems, stage="clips")
    store.record_run("clips", asdict(options), ("recordings", "clips"))
    by_class = clips["label"].fillna("unlabelled").value_counts()
    return {
        "n_clips": len(clips),
        "n_moments": int(clips["moment_id"].nunique()),
        "n_padded": int((clips["padded_s"] > 0).sum()),
        "clips_per_class": {str(label): int(n) for label, n in by_class.items()},
        "n_problems": len(problems),
        "problems": problems.to_dict("records"),
    }


def project_clips(store: Store) -> pd.DataFrame:
    """The clips of the project, cut as the defaults say if nobody said otherwise."""
    clips = store.read("clips")
    if clips.empty:
        options = ClipOptions(**(store.setting("clips") or {}))
        clip_project(
            store, options, selections=[Path(p) for p in store.setting("selections") or ()]
        )
        clips = store.read("clips")
    return clips
