"""Notices about a collection, before training."""

from collections import Counter

import pandas as pd

MAX_ENCOUNTER_SPAN_H = 12.0
MIN_ENCOUNTERS = 4
"""Fewest encounters of a class for a conclusion about the population."""


def collection_notices(recordings: pd.DataFrame) -> list[str]:
    """Describe properties of a collection that can mislead a classifier.

    Parameters
    ----------
    recordings : DataFrame, the table ``recordings``

    Returns
    -------
    list of str, one or two sentences each

    Examples
    --------
    >>> collection_notices(pd.DataFrame())
    ['No usable recordings were found.']
    """
    if recordings.empty:
        return ["No usable recordings were found."]
    notices = []
    rates = Counter(recordings["sample_rate"].tolist())
    if len(rates) > 1:
        shown = ", ".join(f"{rate / 1000:g} kHz ({n})" for rate, n in rates.most_common(8))
        notices.append(
            f"Mixed sample rates: {shown}{', ...' if len(rates) > 8 else ''}. The common front end "
            "brings all to one rate; the study front end does not, and then the rate can be a cue."
        )
    channels = Counter(recordings["n_channels"].tolist())
    if len(channels) > 1:
        shown = ", ".join(f"{n} channel{'s' * (n > 1)} ({k})" for n, k in channels.most_common())
        notices.append(f"Mixed channel counts: {shown}.")
    labelled = recordings[recordings["label"].notna()]
    if labelled["label"].nunique() == 1:
        notices.append(
            f"Only one class, {labelled['label'].iloc[0]}: a classifier needs two to tell apart. Add a "
            "folder of another population, or of something else as --other."
        )
    spellings = labelled.drop_duplicates("label").groupby(labelled["label"].str.casefold())["label"]
    for _, labels in spellings:
        if len(labels) > 1:
            notices.append(
                f"The classes {' and '.join(sorted(labels))} differ in case only; they count as "
                f"{len(labels)} populations."
            )
    for encounter, group in labelled.groupby("encounter", sort=True):
        if group["label"].nunique() > 1:
            counts = ", ".join(f"{n} {label}" for label, n in group["label"].value_counts().items())
            notices.append(
                f"Mixed encounter {encounter}: {counts}. It stays one group in every split."
            )
    for encounter, group in recordings.dropna(subset="start_utc").groupby("encounter", sort=True):
        span_h = (group["start_utc"].max() - group["start_utc"].min()).total_seconds() / 3600
        if span_h > MAX_ENCOUNTER_SPAN_H:
            notices.append(
                f"{encounter} spans {span_h:.0f} hours; more than {MAX_ENCOUNTER_SPAN_H:g} is "
                "hardly one encounter. --cut-gaps HOURS cuts it where nothing was recorded."
            )
    notices += few_encounters(recordings)
    loose = labelled["encounter"].str.endswith("/(no encounter)")
    if loose.any():
        of = ", ".join(sorted(labelled.loc[loose, "label"].unique()))
        notices.append(
            f"Without encounter and without time: {loose.sum()} recordings of {of}; those of a class "
            "count as one encounter. Put each encounter in a folder, or give --metadata with a "
            "column encounter."
        )
    return notices


def few_encounters(recordings: pd.DataFrame) -> list[str]:
    """Name the classes with too few encounters for a conclusion.

    Parameters
    ----------
    recordings : DataFrame, the table ``recordings``

    Returns
    -------
    list of str, one notice or none

    Examples
    --------
    >>> few_encounters(pd.DataFrame({"label": ["Insular"], "encounter": ["Sette_44"]}))
    ['Fewer than 4 encounters: Insular 1. That is too few to conclude about a population.']
    """
    labelled = recordings[recordings["label"].notna()]
    encounters = labelled.groupby("label", sort=True)["encounter"].nunique()
    few = {label: n for label, n in encounters.items() if n < MIN_ENCOUNTERS}
    if not few:
        return []
    shown = ", ".join(f"{label} {n}" for label, n in few.items())
    return [
        f"Fewer than {MIN_ENCOUNTERS} encounters: {shown}. That is too few to conclude about a "
        "population."
    ]
