"""The front end of audio transformers: the feature extractor that comes with the network.

In: the samples of one clip. Out: what the library's extractor makes of its windows, float32.
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
"""Kinds that take sound and make one array of it."""

EMPTY_FILTERS = "At least one mel filter has all zero values"
"""What the library says of AST's own filters."""

_VERSION = 1
_FRAME_S = 0.01  # of AST's fbanks
_WINDOW_S = 10.0  # where an extractor takes any length


@dataclass(frozen=True)
class ExtractorFrontEnd:
    """Windows through an extractor of the library ``transformers``, filled up as that does it."""

    name: ClassVar[str] = "extractor"

    extractor: Mapping[str, Any]
    """Its configuration."""
    sample_rate: int
    window_s: float
    hop_s: float
    fmax_hz: float

    def __post_init__(self) -> None:
        check_windows(self.window_s, self.hop_s)

    @classmethod
    def of(cls, extractor: Mapping[str, Any]) -> Self:
        """The front end of an extractor's configuration.

        Raises
        ------
        BackboneError
            If it is of another kind than :data:`EXTRACTORS`.
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
        """The fields, to make it again."""
        return asdict(self)

    def settings(self) -> dict[str, Any]:
        return {"name": self.name, "version": _VERSION} | asdict(self)

    def picture(self, waveform: Samples, *, sample_rate: int) -> Windows:
        """Make of a clip [shape=(n_samples,)] an array [shape=(n_windows, ...)], float32."""
        samples = at_rate(waveform, sample_rate, self.sample_rate)
        n_window, n_hop = (round(s * self.sample_rate) for s in (self.window_s, self.hop_s))
        windows = cut_windows(samples, min(n_window, len(samples)), n_hop)
        made = _extractor(json.dumps(self.extractor, sort_keys=True))(
            list(windows), sampling_rate=self.sample_rate, return_tensors="np"
        )
        return np.asarray(next(iter(made.values())), dtype=np.float32)


@lru_cache(maxsize=2)
def _extractor(config: str) -> Any:
    if find_spec("transformers") is None:
        raise MissingExtraError("transformers", "transformers")
    import transformers

    told = json.loads(config)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", EMPTY_FILTERS)
        return getattr(transformers, told["feature_extractor_type"]).from_dict(told)
