"""The detection gate: is there any signal in a window, before a network listens to it?

In: the samples of one clip. Out: by how many decibels the loudest sound exceeds the background of the
same window. In years of recordings most windows hold no signal; reading them is cheap, a network is
not. Windows that are left out are counted, so that absence can be stated.

A sound that lasts the whole window at one frequency and one level cannot be told from background.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import scipy.ndimage

from pseudorca.embedding.options import check_gate
from pseudorca.frontends.base import FrontEnd
from pseudorca.frontends.classic import ClassicFrontEnd
from pseudorca.frontends.common import CommonFrontEnd
from pseudorca.frontends.slowed import SlowFrontEnd
from pseudorca.recordings.audio import Samples
from pseudorca.values import hash_of

_QUIET_SHARE = 0.25
_WIDE_ROWS = 8  # an eighth of the band
_SILENT = 1e-12  # of the loudest frame's power: digital silence
_VERSION = 2  # changes with anything that changes an excess


@dataclass(frozen=True)
class Gate:
    """Which windows pass to the network: those whose loudest sound exceeds the background enough.

    The background of a row of the front end's picture is the lower quartile of the row's power over
    the window. Power, averaged over three rows and three frames, is compared with the background.
    Clicks are weak in every row and strong together: so an eighth of the band is compared, too. An
    excess of an eighth counts 5 dB more, since chance reaches fewer decibels there. Frames of digital
    silence do not count.

    Raises
    ------
    FrontEndError
        If ``min_excess_db`` is not more than 0 and less than 200.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> noise = rng.standard_normal(32_000).astype(np.float32)
    >>> tone = 5 * np.sin(2 * np.pi * 4_000 * np.arange(3_200) / 32_000).astype(np.float32)
    >>> with_tone = noise.copy()
    >>> with_tone[:3_200] += tone
    >>> gate = Gate(min_excess_db=12)
    >>> gate.excess_db(with_tone, sample_rate=32_000) > gate.excess_db(noise, sample_rate=32_000)
    True
    """

    min_excess_db: float
    front_end: CommonFrontEnd = field(default_factory=CommonFrontEnd)
    slow: float = 1.0
    """Factor by which network and gate slow a clip down; 1: original speed."""

    def __post_init__(self) -> None:
        check_gate(self.min_excess_db)

    @classmethod
    def for_front_end(cls, min_excess_db: float, front_end: FrontEnd) -> "Gate":
        """A gate in the band of a front end; 100 Hz to 15 kHz for a front end without a band."""
        if isinstance(front_end, SlowFrontEnd):
            inner = cls.for_front_end(min_excess_db, front_end.front_end)
            return replace(inner, slow=front_end.factor)
        if isinstance(front_end, CommonFrontEnd):
            return cls(min_excess_db, replace(front_end, levels="db", background="keep"))
        if isinstance(front_end, ClassicFrontEnd):
            taken = ("sample_rate", "fmin_hz", "fmax_hz", "reach_hz")
            band = {name: getattr(front_end, name) for name in taken}
            return cls(min_excess_db, CommonFrontEnd(**band))
        return cls(min_excess_db)

    @property
    def gate_id(self) -> str:
        """Identifies the measurement of the gate, without the threshold."""
        return hash_of([_VERSION, self.slow, self.front_end.settings()])

    def excess_db(self, waveform: Samples, *, sample_rate: int) -> float:
        """Measure by how much the loudest sound of a window exceeds its background.

        Parameters
        ----------
        waveform : ndarray [shape=(n_samples,)], float32, full scale = 1
        sample_rate : int, Hz

        Returns
        -------
        float, decibels

        Raises
        ------
        AudioError
            If the waveform is shorter than one frame, not finite, or silent.
        """
        levels, n_reached = self.front_end.levels_db(
            waveform, sample_rate=round(sample_rate / self.slow)
        )
        power = np.power(10.0, levels[:n_reached] / 10, dtype=np.float32)
        loudest = power.max(axis=0)
        # Drop-outs and padding do not count as background.
        power = power[:, loudest > _SILENT * loudest.max()]
        smooth = scipy.ndimage.uniform_filter(power, size=3, mode="nearest")
        kept = int(_QUIET_SHARE * (smooth.shape[1] - 1))
        quiet = np.partition(smooth, kept, axis=1)[:, kept : kept + 1]
        ratio = smooth / np.maximum(quiet, quiet.max() * 1e-12)
        line_db = 10 * np.log10(ratio.max())
        bands = np.array_split(ratio, _WIDE_ROWS) if n_reached >= _WIDE_ROWS else [ratio]
        wide = np.stack([band.mean(axis=0) for band in bands])
        usual = np.quantile(wide, _QUIET_SHARE, axis=1, keepdims=True)
        wide_db = 10 * np.log10((wide / usual).max())
        # The precision of the store: a second run decides in the same way.
        return float(np.float32(max(line_db, wide_db + 5.0)))
