"""The verb ``embed``."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pseudorca.cli.options import (
    RARE,
    AsJson,
    ComputingGroup,
    NetworkWeights,
    OtherSettings,
    ProjectFolder,
    Verbose,
    flag,
    given,
    rare_option,
    settings_from,
    with_groups,
)
from pseudorca.cli.output import done, say, say_notices, say_problems
from pseudorca.frontends.registry import FRONT_ENDS
from pseudorca.values import plural

if TYPE_CHECKING:
    from pseudorca.embedding.embed import EmbedResult

    FrontEndName = str
else:
    FrontEndName = Literal[tuple(FRONT_ENDS)]


@with_groups
def embed(
    *,
    project: ProjectFolder,
    backbone: Annotated[
        str,
        typer.Option(
            help="Network, by name (see: pseudorca backbones); several side by side: A+B."
        ),
    ] = "pseudorca_small",
    band: Annotated[
        str | None,
        typer.Option(
            help="16k (default), 48k, 96k, all (as far as every recording reaches), or common (the "
            "pictures of 16k, empty above that)."
        ),
    ] = None,
    slow: Annotated[
        float,
        typer.Option(
            help="Play every clip this many times slower, so that sounds above the network's band "
            "come down into it."
        ),
    ] = 1.0,
    augment: Annotated[
        int, typer.Option(min=0, help="Altered copies of every labelled clip to learn from.")
    ] = 0,
    test_views: Annotated[
        int,
        typer.Option(
            "--test-views",
            min=0,
            help="Altered copies over which a clip that is tested is averaged.",
        ),
    ] = 0,
    reference: Annotated[
        bool, flag("--reference", "Embed the background of every labelled clip, too.")
    ] = False,
    computing: ComputingGroup,
    weights: NetworkWeights = None,
    layer: Annotated[
        str | None,
        rare_option("--layer", "Take the embedding after this earlier layer."),
    ] = None,
    front_end: Annotated[
        FrontEndName | None,
        rare_option(
            "--front-end",
            "; ".join(f"{name}, {entry.help}" for name, entry in FRONT_ENDS.items())
            + ". Without: what the network was trained with.",
            metavar="NAME",
        ),
    ] = None,
    setting: OtherSettings = None,
    adapt_batch_norm: Annotated[
        bool,
        flag(
            "--adapt-batch-norm",
            "Recompute batch-norm statistics over these recordings.",
            panel=RARE,
        ),
    ] = False,
    augment_set: Annotated[
        list[str] | None,
        rare_option(
            "--augment-set",
            "What is altered: gain_db=6, shift=true, background_db=6 (null: none), "
            "bandlimit=true, slope_db=3, seed=0. Repeatable.",
        ),
    ] = None,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Turn clips into embeddings with a pretrained network. Goes on where it was stopped.

    Where no clip could be embedded, the exit status is 1.
    """
    from pseudorca.project import Project

    result = Project.open(project).embed(
        backbone,
        weights=",".join(weights or ["official"]),
        layer=layer,
        front_end=front_end,
        band=band,
        settings=settings_from(setting),
        adapt_batch_norm=adapt_batch_norm,
        slow=slow,
        n_views=augment,
        n_test_views=test_views,
        view_settings=settings_from(augment_set, option="--augment-set"),
        reference=reference,
        **given(computing),
    )
    if not done(result, as_json):
        _say(result, has_more=bool(augment or test_views or reference), verbose=verbose)
    if not result.n_clips:
        raise typer.Exit(1)


def _say(result: "EmbedResult", *, has_more: bool, verbose: bool) -> None:
    after = f" after {result.layer}" if result.layer else ""
    say(
        f"{plural(result.n_clips, 'clip')}, {result.n_new:,} newly embedded by "
        f"{result.backbone}{after} ({result.weights}, {result.embedding_size} numbers each; "
        f"{result.licence})."
    )
    if has_more:
        say(
            f"Besides, newly embedded: {plural(result.n_new_views, 'altered copy')} and "
            f"{plural(result.n_new_backgrounds, 'background')} of labelled clips. Use them with "
            "--prepare."
        )
    say_problems(result.problems, verbose=verbose)
    say_notices(result.notices, verbose=verbose)
