"""What a scan changes in a project that was scanned before.

In: the table ``recordings`` before and now. Out: sentences about recordings that have another label,
another encounter or share their moment with others than before, and about labels of people whose
encounter is called otherwise now. Such labels stay in the journal.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pandas as pd

from pseudorca.values import hash_of, nfc, plural

_MOST_EXAMPLES = 3


def changed_labels(before: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """Find the recordings whose label changed.

    Parameters
    ----------
    before, now : DataFrame, the table ``recordings``

    Returns
    -------
    DataFrame, ``path, label, label_now``

    Examples
    --------
    >>> before = pd.DataFrame({"recording_id": ["r"], "path": "a.wav", "label": ["Insular"]})
    >>> changed_labels(before, before.assign(label="Pelagic"))["label_now"].tolist()
    ['Pelagic']
    """
    both = before.merge(now, on="recording_id", suffixes=("", "_now"))
    is_other = both["label"].fillna("").astype(str) != both["label_now"].fillna("").astype(str)
    return both.loc[is_other, ["path", "label", "label_now"]].reset_index(drop=True)


def scan_changes(
    before: pd.DataFrame, now: pd.DataFrame, annotated: Iterable[tuple[str, str]] = ()
) -> list[str]:
    """Say what a scan changes.

    Parameters
    ----------
    before, now : DataFrame, the table ``recordings``
    annotated : iterable of (unit, unit_id), what people gave labels to

    Returns
    -------
    list of str
        A notice for labels, encounters, moments, recordings that are gone, and labels of people; empty
        if nothing changed, or if no recording is in both tables

    Examples
    --------
    >>> before = pd.DataFrame({
    ...     "recording_id": ["r", "s"], "path": ["a_ch1.wav", "a_ch2.wav"], "label": "Insular",
    ...     "encounter": "e", "moment_id": ["m", "n"],
    ... })
    >>> scan_changes(before, before.assign(moment_id="m"))
    ['Moments change for 2 recordings, such as a_ch1.wav: they were 2 moments and are 1.']
    """
    both = before.merge(now, on="recording_id", suffixes=("", "_now"))
    if both.empty:
        return []
    notices = []
    labels = changed_labels(before, now)
    if len(labels):
        shown = [
            f"{row.path} ({label_text(row.label)}, now {label_text(row.label_now, row.label)})"
            for row in labels.head(_MOST_EXAMPLES).itertuples()
        ]
        notices.append(
            f"Labels change for {plural(len(labels), 'recording')}: {_joined(shown, len(labels))}."
        )
    moved = both[both["encounter"] != both["encounter_now"]]
    if len(moved):
        pairs = moved.drop_duplicates(["encounter", "encounter_now"])
        shown = [
            f"{row.encounter} is now {row.encounter_now}"
            for row in pairs.head(_MOST_EXAMPLES).itertuples()
        ]
        notices.append(
            f"Encounters change for {plural(len(moved), 'recording')} "
            f"({moved['encounter'].nunique()} encounters before, {moved['encounter_now'].nunique()} "
            f"now): {_joined(shown, len(pairs))}."
        )
    dealt = both[_others(both, "moment_id") != _others(both, "moment_id_now")]
    if len(dealt):
        notices.append(
            f"Moments change for {plural(len(dealt), 'recording')}, such as {dealt['path'].iloc[0]}: "
            f"they were {plural(dealt['moment_id'].nunique(), 'moment')} and are "
            f"{dealt['moment_id_now'].nunique()}."
        )
    gone = before[~before["recording_id"].isin(now["recording_id"])]
    if len(gone):
        shown = gone["path"].head(_MOST_EXAMPLES).tolist()
        notices.append(
            f"{plural(len(gone), 'recording')} of the last scan "
            f"{'is' if len(gone) == 1 else 'are'} not among these: {_joined(shown, len(gone))}."
        )
    return notices + _lost_units(before, both, now, set(annotated))


def moments_changed(before: pd.DataFrame, now: pd.DataFrame) -> str | None:
    """Identify the moments of the labelled recordings, if they are other moments than before.

    Parameters
    ----------
    before, now : DataFrame, the table ``recordings``

    Returns
    -------
    str or None
        An id; None if all labelled recordings that are in both tables share their moments with the
        same recordings as before

    Examples
    --------
    >>> before = pd.DataFrame({"recording_id": ["r", "s"], "moment_id": ["m", "n"], "label": "A"})
    >>> moments_changed(before, before) is None
    True
    """
    both = before.merge(now, on="recording_id", suffixes=("", "_now"))
    both = both[both["label_now"].notna()]
    others = _others(both, "moment_id_now")
    if (_others(both, "moment_id") == others).all():
        return None
    return hash_of(sorted(others))


def _others(rows: pd.DataFrame, moment: str) -> pd.Series:
    """The recordings that share the moment of each row, as a text."""
    members = defaultdict(list)
    for recording_id, moment_id in zip(rows["recording_id"], rows[moment], strict=True):
        members[moment_id].append(str(recording_id))
    texts = {moment_id: " ".join(sorted(ids)) for moment_id, ids in members.items()}
    return pd.Series([texts[moment_id] for moment_id in rows[moment]], rows.index, dtype="str")


def _lost_units(
    before: pd.DataFrame, both: pd.DataFrame, now: pd.DataFrame, annotated: set[tuple[str, str]]
) -> list[str]:
    """Say which labels of people are of encounters or recordings that are not there now."""
    notices = []
    known = {unit_id for unit, unit_id in annotated if unit == "encounter"}
    lost = sorted(known & set(before["encounter"]) - set(now["encounter"]))
    if lost:
        follow = both.groupby("encounter")["encounter_now"].unique()
        shown = [
            f"{name} (now {' and '.join(follow[name])})" if name in follow else name
            for name in lost[:_MOST_EXAMPLES]
        ]
        notices.append(
            f"Labels that people gave to {plural(len(lost), 'encounter')} stay in the journal, and no "
            f"encounter is called so now: {_joined(shown, len(lost))}. Give them again under the "
            "new name."
        )
    known = {unit_id for unit, unit_id in annotated if unit == "recording"}
    gone = known & set(before["recording_id"]) - set(now["recording_id"])
    if gone:
        notices.append(
            f"Labels that people gave to {plural(len(gone), 'recording')} that "
            f"{'is' if len(gone) == 1 else 'are'} no longer there stay in the journal."
        )
    return notices


def label_text(label: Any, like: Any = None) -> str:
    """Write a label, or its absence, and that it looks like another one.

    Parameters
    ----------
    label : str, or a missing value
    like : str, or a missing value

    Returns
    -------
    str

    Examples
    --------
    >>> label_text(None), label_text("Insular")
    ('no label', 'Insular')
    """
    if pd.isna(label):
        return "no label"
    text = str(label)
    is_like = isinstance(like, str) and like != text and nfc(like) == nfc(text)
    return f"{text} in another form of Unicode" if is_like else text


def _joined(shown: list[str], n: int) -> str:
    return ", ".join(shown) + (", ..." if n > len(shown) else "")
