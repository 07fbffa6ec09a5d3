"""The registry of front ends: what turns the samples of a clip into what a backbone takes.

Two draw pictures, for any network on pictures; the others make the own input of one kind of network
on sound. Each can be made to hear a clip slowed down.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final, Protocol

import pandas as pd
from numpy.typing import NDArray

from pseudorca.errors import FrontEndError, unknown_name
from pseudorca.features.classic import ClassicFrontEnd
from pseudorca.features.common import REACH, CommonFrontEnd
from pseudorca.features.extractors import ExtractorFrontEnd
from pseudorca.features.slow import SlowFrontEnd
from pseudorca.features.sound_windows import (
    EfficientATFrontEnd,
    SamplesFrontEnd,
    VGGishFrontEnd,
)
from pseudorca.features.study import StudyFrontEnd
from pseudorca.recordings.audio import Samples


class FrontEnd(Protocol):
    """What turns the samples of a clip into what a backbone takes."""

    @property
    def sample_rate(self) -> int | None:
        """Rate in Hz to which clips are resampled; None: each keeps its own."""

    def picture(self, waveform: Samples, *, sample_rate: int) -> NDArray[Any]:
        """Make of samples [shape=(n_samples,)] a picture or windows.

        A picture is uint8 [shape=(height, width, 3)]; windows are float32 [shape=(n_windows, ...)].
        """

    def settings(self) -> dict[str, Any]:
        """Everything that shapes the result, as JSON values."""


PICTURES: Final = (CommonFrontEnd.name, StudyFrontEnd.name)
"""Front ends that draw pictures."""

IN_BANDS: Final = (CommonFrontEnd.name, ClassicFrontEnd.name)
"""Front ends whose band can be chosen."""

FRONT_ENDS: dict[str, Any] = {
    kind.name: kind
    for kind in (
        CommonFrontEnd,
        StudyFrontEnd,
        SamplesFrontEnd,
        EfficientATFrontEnd,
        VGGishFrontEnd,
        ExtractorFrontEnd,
        ClassicFrontEnd,
    )
}


def make_front_end(
    name: str = CommonFrontEnd.name,
    *,
    band: str = "16k",
    lowest_rate: int | None = None,
    settings: Mapping[str, Any] | None = None,
    slow: float = 1.0,
) -> FrontEnd:
    """Make a front end by name.

    Parameters
    ----------
    name : one of :data:`FRONT_ENDS`
    band, lowest_rate : see :meth:`CommonFrontEnd.in_band`; the others have no band
    settings : mapping or None, other fields of the front end
    slow : float, times that clips are slowed down; 1: as they are

    Raises
    ------
    FrontEndError
        If the name, the band or a setting is unknown or makes no sense.
    """
    given = dict(settings or {})
    known = _fields(name)
    for key in given:
        if key not in known:
            raise FrontEndError(unknown_name(f"setting of the {name} front end", key, known))
    if "band" in given:
        raise FrontEndError("the band is not a setting: choose it with --band.")
    try:
        if name in IN_BANDS:
            lowest = None if lowest_rate is None else round(lowest_rate / slow)
            made: FrontEnd = FRONT_ENDS[name].in_band(band, lowest_rate=lowest, **given)
        else:
            made = FRONT_ENDS[name](**given)
    except (TypeError, ValueError) as error:
        raise FrontEndError(f"settings {given} of the {name} front end: {error}") from error
    return made if slow == 1 else SlowFrontEnd(made, slow)


def front_end_from_settings(settings: Mapping[str, Any]) -> FrontEnd:
    """Make the front end that :meth:`FrontEnd.settings` describes.

    Raises
    ------
    FrontEndError
        If this version of pseudorca draws that front end's pictures differently, or not at all.
    """
    name = str(settings.get("name"))
    kept = {key: settings[key] for key in _fields(name) & set(settings)}
    front_end: FrontEnd = FRONT_ENDS[name](**kept)
    if "slow" in settings:
        front_end = SlowFrontEnd(front_end, settings["slow"])
    if front_end.settings() != dict(settings):
        raise FrontEndError(
            f"the {name} front end was saved as {dict(settings)}, this version of pseudorca makes "
            f"{front_end.settings()}: use the version that saved it, or embed and train again."
        )
    return front_end


def _fields(name: str) -> set[str]:
    if name not in FRONT_ENDS:
        raise FrontEndError(unknown_name("front end", name, FRONT_ENDS))
    return {field.name for field in fields(FRONT_ENDS[name])}


def heard_up_to_hz(front_end: FrontEnd) -> float | None:
    """The highest frequency in Hz, in real time, that a front end shows; None: all there is."""
    if isinstance(front_end, SlowFrontEnd):
        top = heard_up_to_hz(front_end.front_end)
        return None if top is None else top * front_end.factor
    top, reach = getattr(front_end, "fmax_hz", None), getattr(front_end, "reach_hz", None)
    return top if reach is None else min(top, reach)


def resampling_notices(recordings: pd.DataFrame, sample_rate: int | None) -> list[str]:
    """Say what will be resampled: never silently."""
    if sample_rate is None or recordings.empty:
        return []
    other = recordings[recordings["sample_rate"] != sample_rate]["sample_rate"]
    if other.empty:
        return []
    lowest, highest = other.min() / 1000, other.max() / 1000
    rates = f"{lowest:g} kHz" if lowest == highest else f"rates of {lowest:g} to {highest:g} kHz"
    return [
        f"{len(other)} of {len(recordings)} recordings are resampled to {sample_rate / 1000:g} kHz, "
        f"from {rates}."
    ]


def band_notices(recordings: pd.DataFrame, front_end: FrontEnd) -> list[str]:
    """Warn where a recording does not reach the band, most of all where that goes with the label."""
    labelled = recordings[recordings["label"].notna()]
    top_hz = heard_up_to_hz(front_end)
    if top_hz is None or labelled.empty:
        return []
    reaches = REACH * labelled["sample_rate"] >= min(top_hz, _own_reach_hz(front_end)) * (1 - 1e-9)
    if reaches.all():
        return []
    shares = reaches.groupby(labelled["label"]).mean()
    shown = ", ".join(f"{label} {100 * share:.0f} %" for label, share in shares.items())
    common = front_end if isinstance(front_end, CommonFrontEnd) else None
    band = f"the band {common.band}" if common else "what the network hears"
    text = (
        f"{int((~reaches).sum())} of {len(labelled)} labelled recordings do not reach the top of "
        f"{band} ({top_hz / 1000:.1f} kHz); share that does: {shown}."
    )
    if shares.max() - shares.min() > 0.1:
        text += " Reaching it goes with the label: the recorder alone may tell the classes apart."
        if common:
            text += (
                " With --band all no recording is out of reach, at the cost of the higher sounds."
            )
    return [text]


def _own_reach_hz(front_end: FrontEnd) -> float:
    """Up to where, in Hz, a recording is taken to reach that needs no resampling."""
    rate = front_end.sample_rate
    return float("inf") if rate is None else REACH * rate
