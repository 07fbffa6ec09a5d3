"""The registry entry of the network whose weights are part of the package."""

from dataclasses import replace

from safetensors.torch import load_file

from pseudorca.backbones import small_network
from pseudorca.backbones.info import BackboneInfo, OfficialWeights, StateDict
from pseudorca.backbones.torch_spec import TorchSpec
from pseudorca.backbones.weights import check_hash
from pseudorca.errors import BackboneError

_SHIPPED = OfficialWeights(
    name=f"SIMULATED_V{small_network.VERSION}",
    url=small_network.WEIGHTS.name,
    licence="Apache-2.0",
    input_size=(small_network.N_ROWS, None),
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    sha256=small_network.WEIGHTS_SHA256,
)


def specs() -> list[TorchSpec]:
    """Return the only entry of this module.

    Returns
    -------
    list of registry entries
    """
    info = BackboneInfo(
        name="pseudorca_small",
        family="pseudorca",
        input_size=_SHIPPED.input_size,
        embedding_size=small_network.NetworkConfig().embedding_size * small_network.N_MEMBERS,
        licence=_SHIPPED.licence,
        source="pseudorca itself: trained on simulated sound only "
        "(docs/model-cards/pseudorca_small.md)",
        n_parameters=small_network.N_PARAMETERS,
        weights=(_SHIPPED,),
        front_end="common",
        front_end_settings=small_network.FRONT_END,
        version=small_network.VERSION,
    )
    local = replace(_SHIPPED, name="local", licence="unknown (local weights file)", sha256=None)
    spec = TorchSpec(
        info=info,
        local=local,
        build=lambda size: small_network.build(),
        fetch=_read_shipped,
        has_layers=False,
    )
    return [spec]


def _read_shipped(known: OfficialWeights) -> StateDict:
    path = small_network.WEIGHTS
    if not path.is_file():
        raise BackboneError(f"{path} is missing: install pseudorca again.")
    check_hash(path, str(known.sha256), "Install pseudorca again.")
    state: StateDict = load_file(path)
    return state
