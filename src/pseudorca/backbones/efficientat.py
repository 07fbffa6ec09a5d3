"""EfficientAT: MobileNetV3-Large in several widths, trained on AudioSet's log-mel spectrograms.

References
----------
.. [1] Schmid, Koutini and Widmer, "Efficient large-scale audio tagging via transformer-to-CNN
   knowledge distillation", ICASSP 2023.
"""

from functools import partial

import torch
from torch import Tensor, nn
from torchvision.models.mobilenetv3 import InvertedResidual, InvertedResidualConfig, MobileNetV3

from pseudorca.backbones.info import BackboneInfo, OfficialWeights
from pseudorca.backbones.torch_spec import TorchSpec

N_MELS = 128
_RELEASE = "https://github.com/fschmid56/EfficientAT/releases/download/v0.0.1/"
# Width, parameters with the 527 classes, file, SHA-256 where it is known.
_NETWORKS = {
    "mn04_as": (0.4, 983_599, "mn04_as_mAP_432.pt",
                "899a8c6217063f6941793102a2780b3dd788ab11fce468d9cf5f0577c453321c"),
    "mn05_as": (0.5, 1_431_239, "mn05_as_mAP_443.pt", None),
    "mn10_as": (1.0, 4_876_831, "mn10_as_mAP_471.pt", None),
    "mn20_as": (2.0, 17_909_287, "mn20_as_mAP_478.pt", None),
    "mn30_as": (3.0, 39_086_367, "mn30_as_mAP_482.pt", None),
    "mn40_as": (4.0, 68_427_303, "mn40_as_mAP_484.pt", None),
}  # fmt: skip
# In, kernel, expanded, out, squeezed, activation, stride: MobileNetV3-Large without its dilations.
_LAYERS = (
    (16, 3, 16, 16, False, "RE", 1), (16, 3, 64, 24, False, "RE", 2),
    (24, 3, 72, 24, False, "RE", 1), (24, 5, 72, 40, True, "RE", 2),
    (40, 5, 120, 40, True, "RE", 1), (40, 5, 120, 40, True, "RE", 1),
    (40, 3, 240, 80, False, "HS", 2), (80, 3, 200, 80, False, "HS", 1),
    (80, 3, 184, 80, False, "HS", 1), (80, 3, 184, 80, False, "HS", 1),
    (80, 3, 480, 112, True, "HS", 1), (112, 3, 672, 112, True, "HS", 1),
    (112, 5, 672, 160, True, "HS", 2), (160, 5, 960, 160, True, "HS", 1),
    (160, 5, 960, 160, True, "HS", 1),
)  # fmt: skip


class _EfficientATNetwork(nn.Module):
    """Log-mel spectrograms [shape=(n, n_mels, n_frames)] -> features, averaged over both axes.

    Parameters
    ----------
    width : float, factor of the number of channels
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        layers = [InvertedResidualConfig(*layer, 1, width) for layer in _LAYERS]
        block = partial(InvertedResidual, se_layer=_Squeeze)
        norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)
        whole = MobileNetV3(layers, 1, 1, block=block, norm_layer=norm)
        n_first = layers[0].input_channels
        whole.features[0][0] = nn.Conv2d(1, n_first, 3, stride=2, padding=1, bias=False)
        self.features = whole.features

    def forward(self, spectrograms: Tensor) -> Tensor:
        maps: Tensor = self.features(spectrograms.unsqueeze(1))
        return maps.mean((2, 3))


class _Squeeze(nn.Module):
    """Weights of channels from their means: two fully connected layers and a sigmoid."""

    def __init__(self, n_channels: int, n_squeezed: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(n_channels, n_squeezed), nn.Linear(n_squeezed, n_channels)

    def forward(self, maps: Tensor) -> Tensor:
        weights = torch.sigmoid(self.fc2(torch.relu(self.fc1(maps.mean((2, 3))))))
        return maps * weights[:, :, None, None]


def specs() -> list[TorchSpec]:
    """Return an entry per width.

    Returns
    -------
    list of TorchSpec

    Examples
    --------
    >>> [spec.info.name for spec in specs()][:2]
    ['mn04_as', 'mn05_as']
    """
    return [_spec(name) for name in _NETWORKS]


def _spec(name: str) -> TorchSpec:
    width, n_parameters, file, sha256 = _NETWORKS[name]
    known = OfficialWeights(
        name=file.removesuffix(".pt"), url=_RELEASE + file, licence="MIT", sha256=sha256
    )
    info = BackboneInfo(
        name=name,
        family="EfficientAT",
        embedding_size=6 * InvertedResidualConfig.adjust_channels(160, width),
        licence=known.licence,
        source="EfficientAT, release v0.0.1: https://github.com/fschmid56/EfficientAT",
        n_parameters=n_parameters,
        weights=(known,),
        front_end="efficientat",
    )
    return TorchSpec(
        info=info,
        local=known,
        build=lambda size: _EfficientATNetwork(width),
        rename=lambda name: name.replace("conc_se_layers.0.", ""),
        unused=("classifier.",),
        has_head=False,
        window_shape=(N_MELS, None),
    )
