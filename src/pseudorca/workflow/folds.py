"""Make and verify a split, and say what stands where."""

from dataclasses import asdict
from typing import Any

import pandas as pd

from pseudorca.recordings.folds import Split, make_folds
from pseudorca.store import Store
from pseudorca.workflow.clips import project_clips
from pseudorca.workflow.project import project_recordings


def folds_project(store: Store, split: Split) -> dict[str, Any]:
    """Make and verify a split, and say what stands where."""
    clips = project_clips(store)
    clips = clips[clips["label"].notna()].reset_index(drop=True)
    folds = make_folds(clips, project_recordings(store), split)
    rows = []
    for repeat, fold, train, test in folds:
        counts = pd.Series(folds.labels[test]).value_counts()
        rows.append(
            {
                "repeat": repeat,
                "fold": fold,
                "n_train": len(train),
                "n_test": len(test),
                "n_test_groups": len(set(folds.units[test])),
                "test_per_class": {str(label): int(n) for label, n in counts.items()},
            }
        )
    return {
        "split": asdict(split),
        "group_by": split.group_by,
        "n_groups": len(set(folds.units)),
        "n_validation": int(folds.validation.sum()),
        "not_testable": folds.not_testable,
        "n_straddling_moments": folds.n_straddling_moments,
        "folds": rows,
    }
