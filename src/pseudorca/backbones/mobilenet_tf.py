"""MobileNetV2 as TensorFlow trained it on ImageNet, for a local weights file."""

import torchvision
from torch import Tensor, nn

from pseudorca.backbones.info import BackboneInfo, InputSize, OfficialWeights
from pseudorca.backbones.torch_spec import TorchSpec

_HALF = (0.5, 0.5, 0.5)  # (x / 255 - 0.5) / 0.5 = x / 127.5 - 1


def specs() -> list[TorchSpec]:
    """Return the only entry of this module.

    Returns
    -------
    list of registry entries

    Examples
    --------
    >>> [spec.info.name for spec in specs()]
    ['mobilenet_v2_tf']
    """
    info = BackboneInfo(
        name="mobilenet_v2_tf",
        family="TensorFlow",
        input_size=224,
        embedding_size=1280,
        licence="Apache-2.0",
        source="Google's ImageNet MobileNetV2 1.0 224 (1001 classes, the first is background), "
        "dequantised from the Coral Edge TPU release: https://coral.ai/models/image-classification/",
        n_parameters=3_506_153,
        weights=(),
    )
    local = OfficialWeights(
        name="local", url="", licence="Apache-2.0", input_size=224, mean=_HALF, std=_HALF
    )
    return [TorchSpec(info=info, local=local, build=_build)]


class _EndPaddedConv2d(nn.Conv2d):
    """TensorFlow's 3x3 convolution of stride 2 on an even size: zeros after the last pixel only.

    Output i uses pixels 2i to 2i + 2. With the symmetric padding of torch, output i would use pixels
    2i - 1 to 2i + 1.
    """

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(nn.functional.pad(input, (0, 1, 0, 1)))


def _build(input_size: InputSize | None) -> nn.Module:
    network: nn.Module = torchvision.models.mobilenet_v2(num_classes=1001)
    for name, old in list(network.named_modules()):
        if isinstance(old, nn.Conv2d) and old.stride == (2, 2):
            sizes = (old.in_channels, old.out_channels, 3, 2)
            network.set_submodule(name, _EndPaddedConv2d(*sizes, groups=old.groups, bias=False))
    return network
