"""The front end of audio transformers: the feature extractor of the network.

In: the samples of one clip. Out: the output of the extractor for the windows of the clip, float32.
"""

import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, ClassVar, Self

import numpy as np

from pseudorca.errors import BackboneError, MissingExtraError, unknown_name
from pseudorca.frontends.windows import Windows, at_rate, check_windows, cut_windows
from pseudorca.recordings.audio import Samples
from pseudorca.recordings.bands import REACH

EXTRACTORS = ("ASTFeatureExtractor", "Wav2Vec2FeatureExtractor")
"""Kinds of extractors that turn sound into one array."""

EMPTY_FILTERS = "At least one mel filter has all zero values"
"""A warning of the library about the filters of AST."""

_VERSION = 1
_FRAME_S = 0.01  # of AST's fbanks
_WINDOW_S = 10.0  # for an extractor that takes any length


@dataclass(frozen=True)
class ExtractorFrontEnd:
    """Windows through an extractor of the library ``transformers``, which also fills short windows."""

    name: ClassVar[str] = "extractor"

    extractor: Mapping[str, Any]
    """Configuration of the extractor."""
    sample_rate: int
    window_s: float
    hop_s: float
    fmax_hz: float

    def __post_init__(self) -> None:
        check_windows(self.window_s, self.hop_s)

    @classmethod
    def of(cls, extractor: Mapping[str, Any]) -> Self:
        """Make the front end from the configuration of an extractor.

        Parameters
        ----------
        extractor : mapping, the configuration

        Returns
        -------
        ExtractorFrontEnd

        Raises
        ------
        BackboneError
            If the kind of the extractor is not one of :data:`EXTRACTORS`.

        Examples
        --------
        >>> config = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": 16_000}
        >>> ExtractorFrontEnd.of(config).window_s
        10.0
        """
        config = json.loads(json.dumps(extractor))
        kind = str(config.get("feature_extractor_type"))
        if kind not in EXTRACTORS:
            raise BackboneError(unknown_name("kind of feature extractor", kind, EXTRACTORS))
        rate = int(config["sampling_rate"])
        n_frames = config.get("max_length")
        window_s = n_frames * _FRAME_S if kind == "ASTFeatureExtractor" else _WINDOW_S
        return cls(config, rate, window_s, window_s, REACH * rate)

    def own_settings(self) -> dict[str, Any]:
        """Return the fields of the front end, from which the front end can be made again."""
        return asdict(self)

    def settings(self) -> dict[str, Any]:
        """Return all settings that determine the result, as JSON values."""
        return {"name": self.name, "version": _VERSION} | asdict(self)

    def picture(self, waveform: Samples, *, sample_rate: int) -> Windows:
        """Turn a clip [shape=(n_samples,)] into an array [shape=(n_windows, ...)], float32."""
        samples = at_rate(waveform, sample_rate, self.sample_rate)
        n_window, n_hop = (round(s * self.sample_rate) for s in (self.window_s, self.hop_s))
        windows = cut_windows(samples, min(n_window, len(samples)), n_hop)
        extracted = _extractor(json.dumps(self.extractor, sort_keys=True))(
            list(windows), sampling_rate=self.sample_rate, return_tensors="np"
        )
        return np.asarray(next(iter(extracted.values())), dtype=np.float32)


@lru_cache(maxsize=2)
def _extractor(config: str) -> Any:
    if find_spec("transformers") is None:
        raise MissingExtraError("transformers", "transformers")
    import transformers

    values = json.loads(config)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", EMPTY_FILTERS)
        return getattr(transformers, values["feature_extractor_type"]).from_dict(values)
