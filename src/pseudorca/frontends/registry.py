"""The registry of front ends: samples of a clip -> input of a backbone.

Two front ends draw pictures, for all networks on pictures. Every other front end makes the input of
one kind of network on sound. Each front end can be slowed. A
new front end is a module and a line here; it is imported when it is first asked for.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from pseudorca.catalogue import Entry
from pseudorca.errors import FrontEndError, unknown_name
from pseudorca.frontends.slowed import SlowFrontEnd, check_slow

if TYPE_CHECKING:
    from pseudorca.frontends.base import FrontEnd

_ROOM = "pseudorca.frontends"

FRONT_ENDS: Mapping[str, Entry] = {
    "common": Entry(f"{_ROOM}.common:CommonFrontEnd", "pictures of one band for all recordings"),
    "study": Entry(
        f"{_ROOM}.study_picture:StudyFrontEnd", "the study's pictures, at each recording's rate"
    ),
    "samples": Entry(f"{_ROOM}.windows:SamplesFrontEnd", "samples at a network's rate"),
    "efficientat": Entry(f"{_ROOM}.windows:EfficientATFrontEnd", "EfficientAT's mel levels"),
    "vggish": Entry(f"{_ROOM}.windows:VGGishFrontEnd", "VGGish's mel levels"),
    "extractor": Entry(f"{_ROOM}.windows:ExtractorFrontEnd", "an extractor of transformers"),
    "classic": Entry(f"{_ROOM}.classic:ClassicFrontEnd", "classic features"),
}

PICTURES: Final = ("common", "study")
"""Front ends that draw pictures."""

IN_BANDS: Final = ("common", "classic")
"""Front ends with a choice of bands."""


def make_front_end(
    name: str = "common",
    *,
    band: str = "16k",
    lowest_rate: int | None = None,
    settings: Mapping[str, Any] | None = None,
    slow: float = 1.0,
) -> "FrontEnd":
    """Make a front end by name.

    Parameters
    ----------
    name : one of :data:`FRONT_ENDS`
    band, lowest_rate : see :meth:`CommonFrontEnd.in_band`; only for :data:`IN_BANDS`
    settings : mapping or None, other fields of the front end
    slow : float, how many times slower; 1: as recorded

    Returns
    -------
    FrontEnd

    Raises
    ------
    FrontEndError
        If the name, the band or a setting is unknown or not possible.

    Examples
    --------
    >>> make_front_end("common", band="48k", settings={"n_rows": 64}).fmax_hz
    45120.0
    """
    check_slow(slow)
    values = dict(settings or {})
    known = _fields(name)
    for key in values:
        if key not in known:
            raise FrontEndError(unknown_name(f"setting of the {name} front end", key, known))
    if "band" in values:
        raise FrontEndError("the band is not a setting: choose it with --band.")
    try:
        if name in IN_BANDS:
            lowest = None if lowest_rate is None else round(lowest_rate / slow)
            front_end: FrontEnd = (
                FRONT_ENDS[name].load().in_band(band, lowest_rate=lowest, **values)
            )
        else:
            front_end = FRONT_ENDS[name].load()(**values)
    except (TypeError, ValueError) as error:
        raise FrontEndError(f"settings {values} of the {name} front end: {error}") from error
    return front_end if slow == 1 else SlowFrontEnd(front_end, slow)


def front_end_from_settings(settings: Mapping[str, Any]) -> "FrontEnd":
    """Make the front end that :meth:`FrontEnd.settings` describes.

    Parameters
    ----------
    settings : mapping, as :meth:`FrontEnd.settings` returns

    Returns
    -------
    FrontEnd

    Raises
    ------
    FrontEndError
        If this version of pseudorca has no such front end, or computes other values with it.

    Examples
    --------
    >>> front_end = make_front_end("common", slow=4.0)
    >>> front_end_from_settings(front_end.settings()) == front_end
    True
    """
    name = str(settings.get("name"))
    kept = {key: settings[key] for key in _fields(name) & set(settings)}
    front_end: FrontEnd = FRONT_ENDS[name].load()(**kept)
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
    return {field.name for field in fields(FRONT_ENDS[name].load())}
