"""The highest frequency of a front end, and the recordings that reach this frequency."""

import pandas as pd

from pseudorca.frontends.base import FrontEnd
from pseudorca.frontends.common import CommonFrontEnd
from pseudorca.frontends.slowed import SlowFrontEnd
from pseudorca.recordings.bands import REACH
from pseudorca.values import plural


def heard_up_to_hz(front_end: FrontEnd) -> float | None:
    """Return the highest frequency of a front end.

    Parameters
    ----------
    front_end : FrontEnd

    Returns
    -------
    float or None
        Hz, in real time. None means no limit except the recording itself.

    Examples
    --------
    >>> heard_up_to_hz(SlowFrontEnd(CommonFrontEnd(), 4.0))
    60160.0
    """
    if isinstance(front_end, SlowFrontEnd):
        top = heard_up_to_hz(front_end.front_end)
        return None if top is None else top * front_end.factor
    top, reach = getattr(front_end, "fmax_hz", None), getattr(front_end, "reach_hz", None)
    return top if reach is None else min(top, reach)


def resampling_notices(recordings: pd.DataFrame, sample_rate: int | None) -> list[str]:
    """Name the recordings that will be resampled.

    Parameters
    ----------
    recordings : DataFrame, the table ``recordings``
    sample_rate : int or None, Hz, of the front end; None: clips are not resampled

    Returns
    -------
    list of str, one notice or none

    Examples
    --------
    >>> resampling_notices(pd.DataFrame({"sample_rate": [32_000, 96_000]}), 32_000)
    ['Resampled to 32 kHz, from 96 kHz: 1 of 2 recordings.']
    """
    if sample_rate is None or recordings.empty:
        return []
    other = recordings[recordings["sample_rate"] != sample_rate]["sample_rate"]
    if other.empty:
        return []
    lowest, highest = other.min() / 1000, other.max() / 1000
    rates = f"{lowest:g} kHz" if lowest == highest else f"rates of {lowest:g} to {highest:g} kHz"
    return [
        f"Resampled to {sample_rate / 1000:g} kHz, from {rates}: {len(other)} of "
        f"{plural(len(recordings), 'recording')}."
    ]


def band_notices(recordings: pd.DataFrame, front_end: FrontEnd) -> list[str]:
    """Name the recordings that do not reach the top of the band.

    The notice warns if reaching the top depends on the label.

    Parameters
    ----------
    recordings : DataFrame, the table ``recordings``
    front_end : FrontEnd

    Returns
    -------
    list of str, one notice or none

    Examples
    --------
    >>> recordings = pd.DataFrame({"label": ["Insular"], "sample_rate": [96_000]})
    >>> band_notices(recordings, CommonFrontEnd())
    []
    """
    labelled = recordings[recordings["label"].notna()]
    top_hz = heard_up_to_hz(front_end)
    if top_hz is None or labelled.empty:
        return []
    # A recording that is not resampled is assumed to reach as high as its rate allows.
    own_reach_hz = REACH * (front_end.sample_rate or float("inf"))
    reaches = REACH * labelled["sample_rate"] >= min(top_hz, own_reach_hz) * (1 - 1e-9)
    if reaches.all():
        return []
    shares = reaches.groupby(labelled["label"]).mean()
    shown = ", ".join(f"{label} {100 * share:.0f} %" for label, share in shares.items())
    common = front_end if isinstance(front_end, CommonFrontEnd) else None
    band = f"the band {common.band}" if common else "the input of the network"
    text = (
        f"Not reaching the top of {band} ({top_hz / 1000:.1f} kHz): {int((~reaches).sum())} of "
        f"{plural(len(labelled), 'labelled recording')}; share that does: {shown}."
    )
    if shares.max() - shares.min() > 0.1:
        text += " Reaching it goes with the label: the recorder alone may tell the classes apart."
        if common:
            text += (
                " With --band all no recording is out of reach, at the cost of the higher sounds."
            )
    return [text]
