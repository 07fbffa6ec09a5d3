"""Audio transformers of the Hugging Face library, each with its own feature extractor.

``ast`` is the Audio Spectrogram Transformer [1]_. ``transformers:NAME`` is any other network on the
hub whose extractor makes fbank spectrograms like AST, or returns the samples (wav2vec2, HuBERT,
WavLM). A local folder can replace the download.

References
----------
.. [1] Gong, Chung and Glass, "AST: Audio Spectrogram Transformer", Interspeech 2021.
"""

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pseudorca.backbones.info import TRANSFORMERS as PREFIX
from pseudorca.backbones.info import (
    BackboneInfo,
    OfficialWeights,
    StateDict,
    description_of,
    refuse_layer,
)
from pseudorca.backbones.network import Backbone, SoundBackbone
from pseudorca.backbones.weights import restore
from pseudorca.errors import BackboneError, MissingExtraError
from pseudorca.frontends.windows import EMPTY_FILTERS, ExtractorFrontEnd

_AST = OfficialWeights(
    name="AUDIOSET",
    url="https://huggingface.co/MIT/ast-finetuned-audioset-10-10-0.4593",
    licence="BSD-3-Clause",
)


def specs() -> list["_TransformersSpec"]:
    """Return the networks with a name of their own.

    Returns
    -------
    list of _TransformersSpec

    Examples
    --------
    >>> [spec.info.name for spec in specs()]
    ['ast']
    """
    info = BackboneInfo(
        name="ast",
        family="transformers",
        embedding_size=768,
        licence=_AST.licence,
        source=f"Audio Spectrogram Transformer, MIT: {_AST.url}",
        n_parameters=86_187_264,
        weights=(_AST,),
        front_end=ExtractorFrontEnd.name,
        front_end_settings={
            "sample_rate": 16_000,
            "window_s": 10.24,
        },  # the weights bring others
        extra=PREFIX,
    )
    return [_TransformersSpec(info=info, hub_name="MIT/ast-finetuned-audioset-10-10-0.4593")]


def spec(name: str) -> "_TransformersSpec":
    """Return the entry of a network of the hub or of a local folder.

    Parameters
    ----------
    name : str, name on the hub, or path of a folder

    Returns
    -------
    registry entry

    Examples
    --------
    >>> spec("facebook/wav2vec2-base").info.name
    'transformers:facebook/wav2vec2-base'
    """
    folder = Path(name).expanduser()
    url = f"https://huggingface.co/{name}" if not folder.is_dir() else "a local folder"
    official = OfficialWeights(name="hub", url=url, licence="unknown (see source)")
    info = BackboneInfo(
        name=f"{PREFIX}:{folder.name if folder.is_dir() else name}",  # independent of the parent folder
        family="transformers",
        licence=official.licence,
        source=url,
        n_parameters=None,
        weights=(official,),
        front_end=ExtractorFrontEnd.name,
        extra=PREFIX,
    )
    return _TransformersSpec(info=info, hub_name=name)


class _TransformersNetwork(nn.Module):
    """Windows of an extractor -> vectors: the summary of the network, or the mean of its tokens."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> Tensor:
        output = self.model(inputs)
        summary = getattr(output, "pooler_output", None)
        vectors: Tensor = output.last_hidden_state.mean(1) if summary is None else summary
        return vectors


class _TransformersBackbone(SoundBackbone):
    """A backbone whose shape is a configuration of the library."""

    def _describe_input(self, description: Mapping[str, Any]) -> None:
        super()._describe_input(description)
        self.config: dict[str, Any] = dict(description["config"])

    def _input_description(self) -> dict[str, Any]:
        return super()._input_description() | {"config": self.config}


@dataclass(frozen=True, kw_only=True)
class _TransformersSpec:
    """A registry entry for a network of the library."""

    info: BackboneInfo
    hub_name: str

    def load(self, weights: str | Path, layer: str | None) -> Backbone:
        """Let the library download a checkpoint, or read a local folder."""
        transformers = _library()
        name = self.info.name
        refuse_layer(name, layer)
        where, licence, origin = self._where(weights)
        try:
            with _quiet():
                extractor = transformers.AutoFeatureExtractor.from_pretrained(
                    where, trust_remote_code=False
                )
                model, loading_info = transformers.AutoModel.from_pretrained(
                    where, trust_remote_code=False, output_loading_info=True, dtype=torch.float32
                )
        except Exception as error:  # an error of the hub, the configuration or the tensors
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise BackboneError(
                f"no network can be read from {where}: {reason.rstrip('.')}. Give the folder of a "
                "checkpoint (config.json, preprocessor_config.json, model.safetensors) with "
                "--weights FOLDER."
            ) from None
        if missing := sorted(loading_info["missing_keys"]):
            raise BackboneError(
                f"{where} does not fit its configuration: {len(missing)} missing "
                f"({'; '.join(missing[:4])}{'; ...' if len(missing) > 4 else ''})."
            )
        front_end = ExtractorFrontEnd.of(extractor.to_dict())
        ramp = np.linspace(-1, 1, round(front_end.window_s * front_end.sample_rate))
        windows = front_end.picture(ramp.astype(np.float32), sample_rate=front_end.sample_rate)
        shape = [None] if windows.ndim == 2 else list(windows.shape[1:])  # samples: any number
        network = _TransformersNetwork(model).eval()
        with torch.no_grad():
            embedding_size = network(torch.from_numpy(windows)).shape[1]
        description = description_of(
            self.info, embedding_size=embedding_size, weights_source=origin, licence=licence,
            window_shape=shape, config=_config_of(model),
        )  # fmt: skip
        backbone = _TransformersBackbone(network, description)
        backbone.front_end_settings = asdict(front_end)
        return backbone

    def rebuild(self, description: Mapping[str, Any], state: StateDict) -> Backbone:
        """Build the network from its configuration, with saved tensors."""
        transformers = _library()
        config = dict(description["config"])
        with _quiet(), torch.random.fork_rng(devices=[]):
            model_config = transformers.AutoConfig.for_model(config.pop("model_type"), **config)
            model = transformers.AutoModel.from_config(model_config)
        return restore(_TransformersBackbone(_TransformersNetwork(model), description), state)

    def _where(self, weights: str | Path) -> tuple[str, str, str]:
        """Return the place of the weights, their licence and their name."""
        names = {"official", *(known.name for known in self.info.weights)}
        path = Path(self.hub_name if str(weights) in names else weights).expanduser()
        if path.is_dir():
            licence = self.info.licence if self.info.name == "ast" else "unknown (local folder)"
            return str(path), licence, path.name
        if str(weights) not in names:
            raise BackboneError(
                f"no such folder: {weights}. Give the folder of a checkpoint (config.json, "
                "preprocessor_config.json, model.safetensors), or leave --weights out to download it."
            )
        return self.hub_name, self.info.licence, self.info.weights[0].name


def _library() -> Any:
    if find_spec("transformers") is None:
        raise MissingExtraError("transformers", PREFIX)
    import transformers

    return transformers


def _config_of(model: Any) -> dict[str, Any]:
    """Return the configuration of a network as JSON values, without place and version."""
    config: dict[str, Any] = json.loads(model.config.to_json_string(use_diff=False))
    return {k: v for k, v in config.items() if k not in ("_name_or_path", "transformers_version")}


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the progress and the advice of the library."""
    import transformers

    library_logging: Any = transformers.utils.logging
    level, shown = library_logging.get_verbosity(), library_logging.is_progress_bar_enabled()
    library_logging.set_verbosity(logging.ERROR)
    library_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", EMPTY_FILTERS)
            yield
    finally:
        library_logging.set_verbosity(level)
        if shown:
            library_logging.enable_progress_bar()
