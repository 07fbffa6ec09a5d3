"""The detection gate: is there any signal in a window, before a network listens to it?

In: the samples of one clip. Out: by how many decibels the loudest sound in it exceeds what the same
window sounds like at its quietest. In years of recordings most windows hold nothing, and reading
them is cheap where a network is not. What is left out is counted, so that absence means something.

A sound that lasts the whole window at one frequency and one level cannot be told from background.
"""

import json
from dataclasses import dataclass, field, replace

import numpy as np
import scipy.ndimage
import xxhash

from pseudorca.embedding.options import check_gate
from pseudorca.frontends.base import FrontEnd
from pseudorca.frontends.classic import ClassicFrontEnd
from pseudorca.frontends.common import CommonFrontEnd
from pseudorca.frontends.slowed import SlowFrontEnd
from pseudorca.recordings.audio import Samples

_QUIET_SHARE = 0.25
_WIDE_ROWS = 8  # an eighth of the band
_SILENT = 1e-12  # of the loudest frame's power: digital silence
_VERSION = 2  # changes with anything that changes an excess


@dataclass(frozen=True)
class Gate:
    """Which windows a network hears: those whose loudest sound exceeds the background enough.

    Every row of the front end's picture has its background: the lower quartile of its power over the
    window. Power is averaged over three rows and three frames, and compared with that; for clicks,
    which are weak in every row and strong together, an eighth of the band is compared as well, and
    counts 5 dB more, as fewer decibels are chance there. Frames of digital silence do not count.
    """

    min_excess_db: float
    front_end: CommonFrontEnd = field(default_factory=CommonFrontEnd)
    slow: float = 1.0
    """Times that the network hears a clip slowed down, and so does the gate."""

    def __post_init__(self) -> None:
        check_gate(self.min_excess_db)

    @classmethod
    def for_front_end(cls, min_excess_db: float, front_end: FrontEnd) -> "Gate":
        """A gate in the band that a front end hears; 100 Hz to 15 kHz if it has none of its own."""
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
        """Identifies what the gate measures, not how much it wants."""
        measured = json.dumps([_VERSION, self.slow, self.front_end.settings()], sort_keys=True)
        return xxhash.xxh3_128(measured.encode()).hexdigest()[:20]

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
        power = power[
            :, loudest > _SILENT * loudest.max()
        ]  # drop-outs and padding are no background
        smooth = scipy.ndimage.uniform_filter(power, size=3, mode="nearest")
        kept = int(_QUIET_SHARE * (smooth.shape[1] - 1))
        quiet = np.partition(smooth, kept, axis=1)[:, kept : kept + 1]
        ratio = smooth / np.maximum(quiet, quiet.max() * 1e-12)
        line_db = 10 * np.log10(ratio.max())
        bands = np.array_split(ratio, _WIDE_ROWS) if n_reached >= _WIDE_ROWS else [ratio]
        wide = np.stack([band.mean(axis=0) for band in bands])
        usual = np.quantile(wide, _QUIET_SHARE, axis=1, keepdims=True)
        wide_db = 10 * np.log10((wide / usual).max())
        # As the store keeps it: a second run draws the same line.
        return float(np.float32(max(line_db, wide_db + 5.0)))
