"""The verb ``backbones``."""

from typing import Annotated, Any

import typer

from pseudorca.cli.options import AsJson
from pseudorca.cli.output import done, table


def backbones(
    name: Annotated[str | None, typer.Argument(help="Show this one in full.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the pretrained networks, with licence and source."""
    from pseudorca.features.backbones import backbone_info, backbone_names

    names = [name] if name else backbone_names()
    rows: list[dict[str, Any]] = []
    for each in names:
        info = backbone_info(each)
        rows.append(
            {
                "name": info.name,
                "input_size": info.input_size,
                "licence": info.licence,
                "source": info.source,
                "weights": [weights.name for weights in info.weights],
            }
        )
    if done({"backbones": rows}, as_json):
        return
    table(
        ["name", "input", "licence", "official weights"],
        (
            (row["name"], row["input_size"], row["licence"], ", ".join(row["weights"]) or "none")
            for row in rows
        ),
    )
