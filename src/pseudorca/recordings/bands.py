"""Named frequency bands, how far up a sample rate reaches, and known sounds above a band."""

from collections.abc import Mapping

import numpy as np

from pseudorca.errors import FrontEndError, unknown_name

BANDS: dict[str, int] = {"16k": 32_000, "48k": 96_000, "96k": 192_000}
"""Named bands and their common sample rates in Hz. The top of a band is 0.47 of the rate."""

REACH = 0.47
"""A recording is assumed to hold sound up to this share of its sample rate."""

KNOWN_SOUNDS: tuple[tuple[str, float, float], ...] = (
    ("false killer whale whistles", 4_000, 8_000),
    ("false killer whale clicks", 20_000, 60_000),
)
"""Name, lowest and highest frequency in Hz (field notes of the first study)."""

COMMON = "common"
"""The band with the pictures of 16k, drawn up to the frequency that every recording reaches."""

_ALL_TOP = 0.45  # of the lowest sample rate, for the band "all"


def widest_band(rates_by_class: Mapping[str, list[int]], *, share: float = 0.95) -> str:
    """Find the widest named band that at least ``share`` of every class reaches, else ``all``.

    Parameters
    ----------
    rates_by_class : mapping from label to the sample rates of its recordings, Hz
    share : float, 0 to 1

    Returns
    -------
    str, the name of a band

    Examples
    --------
    >>> widest_band({"Insular": [96_000, 192_000], "Pelagic": [48_000]})
    '16k'
    """
    for band, band_rate in sorted(BANDS.items(), key=lambda item: -item[1]):
        shares = [np.mean(np.array(rates) >= band_rate) for rates in rates_by_class.values()]
        if shares and min(shares) >= share:
            return band
    return "all"


def check_band(band: str) -> None:
    """Check the name of a band.

    Parameters
    ----------
    band : str

    Raises
    ------
    FrontEndError
        If no band has this name.

    Examples
    --------
    >>> check_band("48")
    Traceback (most recent call last):
    pseudorca.errors.FrontEndError: unknown band '48'. Did you mean '48k'? Known: 16k, 48k, 96k, ...
    """
    if band not in (*BANDS, "all", COMMON):
        raise FrontEndError(unknown_name("band", band, (*BANDS, "all", COMMON)))


def top_hz(band: str, lowest_rate: int | None) -> float:
    """Return the top of a named band. The band ``all`` ends where the lowest sample rate reaches.

    Parameters
    ----------
    band : str, any band except ``common``, whose top depends on all recordings
    lowest_rate : int or None
        Lowest sample rate of the recordings in Hz, for the band ``all``

    Returns
    -------
    float, Hz

    Raises
    ------
    FrontEndError
        If the band is unknown, or the band is ``all`` and no rate is given.

    Examples
    --------
    >>> top_hz("16k", None), top_hz("all", 10_000)
    (15040.0, 4500.0)
    """
    check_band(band)
    if band == "all":
        if lowest_rate is None:
            raise FrontEndError(
                f"the band {band!r} needs the lowest sample rate of the recordings."
            )
        return _ALL_TOP * lowest_rate
    return REACH * BANDS[band]


def sounds_left_out(fmax_hz: float) -> list[str]:
    """List the known sounds above the top of a band.

    Parameters
    ----------
    fmax_hz : float, top of the band in Hz

    Returns
    -------
    list of str, with the frequencies, and ``in part`` or ``wholly``

    Examples
    --------
    >>> sounds_left_out(15_040.0)
    ['false killer whale clicks (20 to 60 kHz, wholly)']
    """
    return [
        f"{name} ({low / 1000:g} to {high / 1000:g} kHz, {'in part' if low < fmax_hz else 'wholly'})"
        for name, low, high in KNOWN_SOUNDS
        if high > fmax_hz
    ]
