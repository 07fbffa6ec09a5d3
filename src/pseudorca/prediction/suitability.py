"""How well recordings suit a classifier: what a user should know before reading what it says."""

import pandas as pd

from pseudorca.errors import ClassifierError, FoldError
from pseudorca.frontends.base import FrontEnd
from pseudorca.frontends.classic import ClassicFrontEnd
from pseudorca.frontends.common import CommonFrontEnd
from pseudorca.frontends.reach import heard_up_to_hz, resampling_notices
from pseudorca.frontends.slowed import SlowFrontEnd
from pseudorca.learning.classifier import Classifier
from pseudorca.recordings.bands import COMMON
from pseudorca.recordings.folds import OTHER, group_values
from pseudorca.recordings.manifest import labels_id
from pseudorca.store import Store
from pseudorca.values import plural

_LONG_S = 60.0
_REACHED = ("all", COMMON)  # bands that every recording in training reached


def suitability_notices(
    recordings: pd.DataFrame, classifier: Classifier, *, is_gated: bool
) -> list[str]:
    """Say what a user should know of these recordings and this classifier.

    Parameters
    ----------
    recordings : DataFrame, the table ``recordings``; not empty
    classifier : Classifier
    is_gated : bool, whether windows without signal are passed over

    Returns
    -------
    list of str, one sentence or two each

    Raises
    ------
    ClassifierError
        If embeddings are centred by something that none of the recordings has.
    """
    moments, ids = (classifier.training.get(key, ()) for key in ("moments", "recordings"))
    is_heard = recordings["moment_id"].isin(moments) | recordings["recording_id"].isin(ids)
    notices = []
    if n_heard := int(is_heard.sum()):
        notices.append(
            f"Trained the classifier, so that what it says of them proves nothing: {n_heard} of "
            f"{plural(len(recordings), 'recording')} (column in_training)."
        )
    notices += _centring_notices(recordings, classifier.preparation.centre)
    for member in classifier.embedder.members:
        front_end = member.front_end
        if isinstance(front_end, CommonFrontEnd | ClassicFrontEnd) and front_end.band in _REACHED:
            is_short = ~recordings["sample_rate"].map(front_end.reached_by).astype(bool)
            if is_short.any():
                notices.append(
                    f"Not reaching as high as all in training did "
                    f"({(heard_up_to_hz(front_end) or 0) / 1000:.1f} kHz): {int(is_short.sum())} of "
                    f"{plural(len(recordings), 'recording')}. Do not take what is missing there for "
                    "the animals."
                )
    knows_noise = is_gated or OTHER in classifier.classes or classifier.nothing is not None
    if not knows_noise and (recordings["duration_s"] > _LONG_S).any():
        notices.append(
            "Long recordings mostly hold noise, and this classifier never heard any: it names it, too. "
            "Train without --nothing none, or pass over windows without signal with --gate 12."
        )
    return notices


def rate_notices(recordings: pd.DataFrame, classifier: Classifier) -> list[str]:
    """Say which recordings are brought to another rate.

    Parameters
    ----------
    recordings : DataFrame, the table ``recordings``
    classifier : Classifier

    Returns
    -------
    list of str, a notice per rate
    """
    rates = dict.fromkeys(one.front_end.sample_rate for one in classifier.embedder.members)
    return [text for rate in rates for text in resampling_notices(recordings, rate)]


def project_notices(store: Store, classifier: Classifier) -> list[str]:
    """Say whether a classifier belongs to what a project holds now.

    Parameters
    ----------
    store : Store
    classifier : Classifier

    Returns
    -------
    list of str, at most one notice
    """
    training = classifier.training
    recordings = store.read("recordings", columns=["moment_id", "label"])
    labelled = recordings[recordings["label"].notna()]
    if labelled.empty or training.get("labels") in (None, labels_id(store)):
        return []
    if not labelled["moment_id"].isin(training.get("moments", ())).any():
        return [
            f"This classifier ({', '.join(classifier.classes)}) was trained on none of the recordings "
            f"of this project ({', '.join(sorted(set(labelled['label'])))}): what the project's own "
            "evaluation and audit say is not about it."
        ]
    return [
        "The labelled recordings of the project changed since this classifier was trained: train and "
        "evaluate again."
    ]


def _centring_notices(recordings: pd.DataFrame, centre: str) -> list[str]:
    """Say how many recordings lack what embeddings are centred by; an error if all do."""
    if centre in ("none", "encounter", "recording"):
        return []
    try:
        values = group_values(recordings, recordings, centre)
    except FoldError as error:
        raise ClassifierError(
            f"this classifier's embeddings are centred by {centre}, and none of these recordings has "
            "one. Give it with --metadata, or train without --prepare centre."
        ) from error
    n_without = int((values == "encounter " + recordings["encounter"].astype(str)).sum())
    if not n_without:
        return []
    return [
        f"Without a {centre}, and so centred by encounter, which takes off what its animals have in "
        f"common, too: {n_without} of {plural(len(recordings), 'recording')}."
    ]


def heard_hz(front_end: FrontEnd) -> tuple[float, float] | None:
    """From where to where, in Hz, a classifier hears; None: all there is.

    Examples
    --------
    >>> heard_hz(CommonFrontEnd(band="16k"))
    (100.0, 15040.0)
    """
    top_hz = heard_up_to_hz(front_end)
    if isinstance(front_end, SlowFrontEnd):
        low_hz = front_end.factor * getattr(front_end.front_end, "fmin_hz", 0.0)
    else:
        low_hz = getattr(front_end, "fmin_hz", 0.0)
    return None if top_hz is None else (low_hz, top_hz)
