"""The registry of front ends: what turns the samples of a clip into the picture a backbone takes."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Protocol

import pandas as pd

from pseudorca.errors import FrontEndError, unknown_name
from pseudorca.features.common import CommonFrontEnd, Picture
from pseudorca.features.study import StudyFrontEnd
from pseudorca.recordings.audio import Samples


class FrontEnd(Protocol):
    """What turns the samples of a clip into the picture that a backbone takes."""

    @property
    def sample_rate(self) -> int | None:
        """Rate in Hz to which clips are resampled; None: each keeps its own."""

    def picture(self, waveform: Samples, *, sample_rate: int) -> Picture:
        """Render samples [shape=(n_samples,)] as a picture [shape=(height, width, 3)]."""

    def settings(self) -> dict[str, Any]:
        """Everything that shapes the picture, as JSON values."""


FRONT_ENDS: dict[str, type[CommonFrontEnd] | type[StudyFrontEnd]] = {
    CommonFrontEnd.name: CommonFrontEnd,
    StudyFrontEnd.name: StudyFrontEnd,
}


def make_front_end(
    name: str = "common",
    *,
    band: str = "16k",
    lowest_rate: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> FrontEnd:
    """Make a front end by name.

    Parameters
    ----------
    name : ``common`` or ``study``
    band, lowest_rate : see :meth:`CommonFrontEnd.in_band`; the study front end has no band
    settings : mapping or None, other fields of the front end

    Raises
    ------
    FrontEndError
        If the name, the band or a setting is unknown or makes no sense.
    """
    if name not in FRONT_ENDS:
        raise FrontEndError(unknown_name("front end", name, FRONT_ENDS))
    given = dict(settings or {})
    known = {field.name for field in fields(FRONT_ENDS[name])}
    for key in given:
        if key not in known:
            raise FrontEndError(unknown_name(f"setting of the {name} front end", key, known))
    if "band" in given:
        raise FrontEndError("the band is not a setting: choose it with --band.")
    try:
        if name == CommonFrontEnd.name:
            return CommonFrontEnd.in_band(band, lowest_rate=lowest_rate, **given)
        return StudyFrontEnd(**given)
    except (TypeError, ValueError) as error:
        raise FrontEndError(f"settings {given} of the {name} front end: {error}") from error


def front_end_from_settings(settings: Mapping[str, Any]) -> FrontEnd:
    """Make the front end that :meth:`FrontEnd.settings` describes.

    Raises
    ------
    FrontEndError
        If this version of pseudorca draws that front end's pictures differently, or not at all.
    """
    name = str(settings.get("name"))
    if name not in FRONT_ENDS:
        raise FrontEndError(unknown_name("front end", name, FRONT_ENDS))
    known = {field.name for field in fields(FRONT_ENDS[name])}
    front_end = FRONT_ENDS[name](**{key: settings[key] for key in known & set(settings)})
    if front_end.settings() != dict(settings):
        raise FrontEndError(
            f"the {name} front end was saved as {dict(settings)}, this version of pseudorca makes "
            f"{front_end.settings()}: use the version that saved it, or embed and train again."
        )
    return front_end


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
    if not isinstance(front_end, CommonFrontEnd) or labelled.empty:
        return []
    reaches = labelled["sample_rate"].map(front_end.reached_by)
    if reaches.all():
        return []
    shares = reaches.groupby(labelled["label"]).mean()
    shown = ", ".join(f"{label} {100 * share:.0f} %" for label, share in shares.items())
    text = (
        f"{int((~reaches).sum())} of {len(labelled)} labelled recordings do not reach the top of the "
        f"band {front_end.band} ({front_end.fmax_hz / 1000:.1f} kHz); share that does: {shown}."
    )
    if shares.max() - shares.min() > 0.1:
        text += (
            " Reaching the band goes with the label: the recorder alone may tell the classes apart. "
            "With --band all no recording is out of reach, at the cost of the higher sounds."
        )
    return [text]
