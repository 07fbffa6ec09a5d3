"""VGGish: log-mel patches of 0.96 s to 128 numbers, trained on YouTube's sound tracks.

References
----------
.. [1] Hershey et al., "CNN architectures for large-scale audio classification", ICASSP 2017.
"""

from itertools import pairwise

from torch import Tensor, nn

from pseudorca.backbones.info import BackboneInfo, OfficialWeights
from pseudorca.backbones.torch_spec import TorchSpec

N_FRAMES, N_MELS = 96, 64
_BLOCKS = (
    (64,),
    (128,),
    (256, 256),
    (512, 512),
)  # channels of the convolutions before each pooling
_HIDDEN, _EMBEDDING = 4096, 128

_FILE = OfficialWeights(
    name="TORCHVGGISH_V0.1",
    url="https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth",
    licence="Apache-2.0",
    sha256="10086976",  # torch's habit: the file's name carries the start
)


class _VGGishNetwork(nn.Module):
    """Patches [shape=(n, 96, 64)], time first, to vectors that are never negative."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for block in _BLOCKS:
            for channels in block:
                layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU(inplace=True)]
                before = channels
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        n_inputs = before * (N_FRAMES // 16) * (N_MELS // 16)
        widths = (n_inputs, _HIDDEN, _HIDDEN, _EMBEDDING)
        dense: list[nn.Module] = []
        for wide, narrow in pairwise(widths):
            dense += [nn.Linear(wide, narrow), nn.ReLU(inplace=True)]
        self.embeddings = nn.Sequential(*dense)

    def forward(self, patches: Tensor) -> Tensor:
        """Embed patches, as the docstring of the class says."""
        maps = self.features(patches.unsqueeze(1))
        # The dense layers were trained by TensorFlow, which keeps channels last.
        vectors: Tensor = self.embeddings(maps.permute(0, 2, 3, 1).flatten(1))
        return vectors


def specs() -> list[TorchSpec]:
    """Return the only entry of this module.

    Returns
    -------
    list of registry entries

    Examples
    --------
    >>> [spec.info.name for spec in specs()]
    ['vggish']
    """
    info = BackboneInfo(
        name="vggish",
        family="VGGish",
        embedding_size=_EMBEDDING,
        licence=_FILE.licence,
        source="VGGish, Google Research, ported to torch: https://github.com/harritaylor/torchvggish",
        n_parameters=72_141_184,
        weights=(_FILE,),
        front_end="vggish",
    )
    return [
        TorchSpec(
            info=info,
            local=_FILE,
            build=lambda size: _VGGishNetwork(),
            unused=("pproc.",),
            has_head=False,
            window_shape=(N_FRAMES, N_MELS),
        )
    ]
