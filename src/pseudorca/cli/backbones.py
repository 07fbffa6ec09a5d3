"""The verb ``backbones``."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pseudorca.cli.options import (
    AsJson,
)
from pseudorca.cli.output import done, say, table

if TYPE_CHECKING:
    from pseudorca.backbones import BackboneInfo


_FEW = 8  # networks of a family that are named in its row


def backbones(
    *,
    name: Annotated[
        str | None, typer.Argument(help="Show this network, or those of this family, in full.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the pretrained networks by family, with licence, input and what has to be installed."""
    from pseudorca.backbones import backbone_families, backbone_info, embedding_size
    from pseudorca.backbones.registry import check_name, family_names

    if name is not None and name not in family_names():
        check_name(name)
    families = backbone_families()
    chosen = [family for family in families if name is None or family.name == name]
    patterns = {f"{family.name}:NAME" for family in families}
    names = [n for family in chosen for n in family.networks if n not in patterns]
    if name is not None and not chosen:
        names = [name]
    rows = [_row(backbone_info(each)) for each in names]
    if len(rows) == 1:
        rows[0]["embedding_size"] = embedding_size(names[0])
    described: list[dict[str, Any]] = [
        {
            "family": family.name,
            "networks": list(family.networks),
            "takes": family.takes,
            "embedding_sizes": list(family.embedding_sizes),
            "licences": list(family.licences),
            "extra": family.extra,
            "installed": family.is_installed,
        }
        for family in chosen
    ]
    if done({"families": described, "backbones": rows}, as_json):
        return
    if name is None:
        table(
            ["family", "networks", "takes", "embedding", "licence", "needs"],
            (
                (
                    family["family"],
                    _few(family["networks"]),
                    family["takes"],
                    _range(family["embedding_sizes"]),
                    ", ".join(family["licences"]) or "each its own",
                    _needs(family) + ("" if about.needs_extra else " (some)"),
                )
                for family, about in zip(described, chosen, strict=True)
            ),
        )
        say("More: pseudorca backbones FAMILY, or pseudorca backbones NETWORK.")
        return
    table(
        ["name", "takes", "embedding", "licence", "official weights"],
        (
            (
                row["name"],
                row["takes"],
                row["embedding_size"] or "once it is loaded",
                row["licence"],
                ", ".join(row["weights"]) or "none",
            )
            for row in rows
        ),
    )
    if len(rows) == 1:
        say(f"Source: {rows[0]['source']}.")
        say(f"Needs: {_needs(rows[0])}.")


def _row(info: "BackboneInfo") -> dict[str, Any]:
    from pseudorca.backbones import extra_is_installed, sound_input, takes

    sound = sound_input(info)
    return {
        "name": info.name,
        "family": info.family,
        "takes": takes(info),
        "input_size": info.input_size,
        "sample_rate": sound[0] if sound else None,
        "window_s": sound[1] if sound else None,
        "embedding_size": info.embedding_size,
        "licence": info.licence,
        "source": info.source,
        "weights": [weights.name for weights in info.weights],
        "extra": info.extra,
        "installed": extra_is_installed(info.extra),
    }


def _few(networks: list[str]) -> str:
    if len(networks) <= _FEW:
        return ", ".join(networks)
    return f"{len(networks)}, such as {networks[0]} or {networks[-1]}"


def _range(sizes: list[int]) -> str:
    if not sizes:
        return "each its own"
    return str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"


def _needs(network: dict[str, Any]) -> str:
    if network["extra"] is None:
        return "nothing more"
    if network["installed"]:
        return f"pseudorca[{network['extra']}], installed"
    return f"pip install 'pseudorca[{network['extra']}]'"
