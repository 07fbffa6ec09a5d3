"""Virtual species and populations: distributions of the traits of their signals.

A species has a distribution for each number that describes a signal, and a rate of signals of each
kind. A population is a species whose traits are shifted by an effect size. One block below gives the
known facts about *Pseudorca* with their sources.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from pseudorca.errors import SimulationError, unknown_name

KINDS: Final = ("whistle", "click_train", "burst_pulse", "call", "moan")


class Trait(NamedTuple):
    """The distribution of one number of a signal over a whole population.

    Log-normal: ``centre`` is the median, ``spread`` the s.d. of the natural logarithm. Normal, if
    ``log`` is false: ``centre`` is the mean, ``spread`` the s.d. ``virtual_range``: where the centre
    of a virtual species may lie. ``varies``: whether populations differ in this trait (levels and
    durations that a clip limits do not differ).

    Examples
    --------
    >>> round(Trait(6500.0, 0.24, (2500.0, 25_000.0)).at(1.0))
    8263
    """

    centre: float
    spread: float
    virtual_range: tuple[float, float]
    log: bool = True
    varies: bool = False

    def at(self, z: float) -> float:
        """Return the value that is ``z`` standard deviations above the centre."""
        shift = self.spread * z
        return self.centre * float(np.exp(shift)) if self.log else self.centre + shift


# Facts about *Pseudorca crassidens*, with sources. "chosen" marks values without a published
# measurement. Frequencies in Hz, times in s, levels in dB re 1 uPa at 1 m (tonal: root mean square;
# pulses: peak to peak), sweep and ripple in ln(frequency), rolloff in dB per harmonic.
# [N] NOAA PIFSC table of acoustic events (38 events named by sight): the median whistle start per
#     event is 6.5 kHz with s.d. 0.61 kHz between events, and 79 % of whistles start at 4 to 8 kHz,
#     which a log-normal of median 6.5 kHz and s.d. 0.24 gives, 15 % of its variance between events.
# [S] Sanino & Fowle 2006: whistles 3.8 to 13.6 kHz, 0.09 to 2.86 s, fewer than four inflections.
# [M] Madsen, Kerr & Payne 2004: clicks peak near 40 kHz, Q 2 to 3, 201 to 225 dB peak to peak.
# [B] Baumann-Pickering et al. 2015: recorded clicks peak at 22 kHz (here: the off-axis low-pass).
# [U] Murray et al. 1998: pulse trains and whistles are the two ends of one continuum.
# [J] Janik 2000: whistles of another delphinid, *Tursiops*, 158 dB on average, 169 dB at most.
# The virtual range, for pretraining, goes from blue whales (moans from 15 Hz) to porpoises (clicks
# near 137 kHz, Kyhn et al. 2013).
PSEUDORCA_TRAITS: Final[Mapping[str, Trait]] = {
    "whistle.start_hz": Trait(6500.0, 0.24, (2500.0, 25_000.0), varies=True),  # [N], [S]
    "whistle.sweep": Trait(
        0.0, 0.20, (-0.7, 0.7), log=False, varies=True
    ),  # chosen, inside the range of [S]
    "whistle.duration_s": Trait(
        0.45, 0.50, (0.1, 1.5), varies=True
    ),  # [S]: 99.8 % within 0.09 to 2.1 s
    "whistle.inflections": Trait(
        1.0, 1.0, (0.0, 4.0), log=False, varies=True
    ),  # [S]; rounded, at least 0
    "whistle.ripple": Trait(0.04, 0.50, (0.01, 0.3)),  # chosen
    "whistle.rolloff_db": Trait(20.0, 5.0, (6.0, 30.0), log=False),  # chosen
    "whistle.level_db": Trait(150.0, 5.0, (145.0, 165.0), log=False),  # a little below [J]
    "click_train.peak_hz": Trait(
        40_000.0, 0.20, (8000.0, 140_000.0), varies=True
    ),  # [M]; on the axis
    "click_train.q": Trait(2.5, 0.12, (1.0, 9.0)),  # [M]
    "click_train.interval_s": Trait(0.09, 0.35, (0.02, 0.6), varies=True),  # chosen
    "click_train.duration_s": Trait(1.0, 0.5, (0.5, 3.0)),  # chosen
    "click_train.level_db": Trait(210.0, 5.0, (190.0, 220.0), log=False),  # [M]
    "burst_pulse.peak_hz": Trait(28_000.0, 0.25, (5000.0, 60_000.0), varies=True),  # chosen
    "burst_pulse.q": Trait(2.0, 0.15, (1.0, 5.0)),  # chosen
    "burst_pulse.interval_s": Trait(0.004, 0.35, (0.0015, 0.012), varies=True),  # chosen; see [U]
    "burst_pulse.duration_s": Trait(0.30, 0.40, (0.1, 1.0)),  # chosen
    "burst_pulse.level_db": Trait(186.0, 5.0, (170.0, 200.0), log=False),  # chosen
    # This model of Pseudorca makes no calls and no moans; other species do (see the virtual ranges).
    "call.pitch_hz": Trait(700.0, 0.25, (150.0, 2000.0), varies=True),
    "call.sweep": Trait(0.0, 0.2, (-0.6, 0.6), log=False, varies=True),
    "call.duration_s": Trait(0.8, 0.35, (0.3, 1.5), varies=True),
    "call.formant_hz": Trait(4000.0, 0.3, (1500.0, 10_000.0)),
    "call.level_db": Trait(152.0, 5.0, (145.0, 165.0), log=False),
    "moan.pitch_hz": Trait(100.0, 0.25, (15.0, 600.0), varies=True),
    "moan.sweep": Trait(0.0, 0.2, (-0.7, 0.7), log=False, varies=True),
    "moan.duration_s": Trait(2.0, 0.4, (0.6, 6.0), varies=True),
    "moan.rolloff_db": Trait(12.0, 4.0, (4.0, 20.0), log=False),
    "moan.level_db": Trait(175.0, 5.0, (160.0, 185.0), log=False),
}
TRAIT_NAMES: Final = tuple(PSEUDORCA_TRAITS)
SHIFTING_TRAITS: Final = tuple(name for name, trait in PSEUDORCA_TRAITS.items() if trait.varies)

# Signals per second of a clip, without the whistle of the cut. Chosen so that about half of the
# clips have clicks: of 523 subgroups 29 % only echolocated, 16 % only whistled, and 55 % did
# both (Gruden et al. 2023).
PSEUDORCA_RATES: Final[Mapping[str, float]] = {
    "whistle": 0.4, "click_train": 0.45, "burst_pulse": 0.1, "call": 0.0, "moan": 0.0,
}  # fmt: skip


@dataclass(frozen=True)
class Species:
    """Distributions of traits, and rates of signals of each kind per second.

    Examples
    --------
    >>> PSEUDORCA.traits["whistle.start_hz"].centre, PSEUDORCA.rates["moan"]
    (6500.0, 0.0)
    """

    name: str
    traits: Mapping[str, Trait]
    rates: Mapping[str, float]


PSEUDORCA: Final = Species("Pseudorca crassidens", PSEUDORCA_TRAITS, PSEUDORCA_RATES)

# Signs of the shifts of each population, trait by trait. The first two populations have opposite
# signs in every trait. The third equals each of them in every other trait.
POPULATIONS: Final[Mapping[str, tuple[int, ...]]] = {
    "Insular": (-1,),
    "Pelagic": (1,),
    "Northwestern": (1, -1),
}


def population(name: str, effect: float) -> Species:
    """Make a population of *Pseudorca*: its traits are shifted by half the effect size, up or down.

    ``centre' = centre + sign * effect / 2 * spread`` (on the scale of the trait), for the traits that
    vary between populations. ``effect`` is then Cohen's d between Insular and Pelagic in each of these
    traits, and between Northwestern and each of the two in every other trait.

    Parameters
    ----------
    name : str
        ``Insular``, ``Pelagic`` or ``Northwestern``.
    effect : float, in standard deviations
        0 gives all populations the same distribution.

    Returns
    -------
    Species

    Raises
    ------
    SimulationError
        If there is no population of this name.

    Examples
    --------
    >>> insular, pelagic = population("Insular", 1.0), population("Pelagic", 1.0)
    >>> insular.traits["whistle.start_hz"].centre < pelagic.traits["whistle.start_hz"].centre
    True
    """
    if name not in POPULATIONS:
        raise SimulationError(unknown_name("population", name, POPULATIONS))
    signs = POPULATIONS[name]
    traits = dict(PSEUDORCA_TRAITS)
    for number, trait_name in enumerate(SHIFTING_TRAITS):
        trait = traits[trait_name]
        shift = signs[number % len(signs)] * effect / 2
        traits[trait_name] = trait._replace(centre=trait.at(shift))
    return replace(PSEUDORCA, name=name, traits=traits)


def draw_virtual_species(rng: np.random.Generator, *, name: str = "virtual") -> Species:
    """Draw a virtual species, with signals from the whole range of whales and dolphins.

    The centre of each trait is uniform in the trait's ``virtual_range``, on the scale of the trait.

    Parameters
    ----------
    rng : numpy.random.Generator
    name : str

    Returns
    -------
    Species

    Examples
    --------
    >>> sum(draw_virtual_species(np.random.default_rng(0)).rates.values()) > 0
    True
    """
    traits = {}
    for trait_name, base in PSEUDORCA_TRAITS.items():
        low, high = base.virtual_range
        if base.log:
            centre = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        else:
            centre = float(rng.uniform(low, high))
        spread = base.spread * float(rng.uniform(0.3, 1.2))
        traits[trait_name] = base._replace(centre=centre, spread=spread)
    present = rng.random(len(KINDS)) < 0.45
    present[rng.integers(len(KINDS))] = True
    rates = rng.uniform(0.3, 1.2, len(KINDS)) * present
    return Species(name, traits, dict(zip(KINDS, rates.tolist(), strict=True)))
