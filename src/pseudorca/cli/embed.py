"""The verb ``embed``."""

from typing import TYPE_CHECKING, Annotated

import typer

from pseudorca.cli.options import (
    AsJson,
    BatchSize,
    ClusterAddress,
    Device,
    PrecisionChoice,
    PrecisionName,
    ProjectFolder,
    Threads,
    WorkerCount,
    settings_from,
)
from pseudorca.cli.output import done, say, say_notices, say_problems

if TYPE_CHECKING:
    from pseudorca.embedding.embed import EmbedResult


def embed(
    project: ProjectFolder,
    backbone: Annotated[
        str,
        typer.Option(
            help="Network, by name (see: pseudorca backbones); several side by side: A+B."
        ),
    ] = "pseudorca_small",
    weights: Annotated[
        str,
        typer.Option(
            help="official, the name of official weights, or a file or folder; of several networks "
            "A=FILE,B=FILE."
        ),
    ] = "official",
    layer: Annotated[
        str | None, typer.Option(help="Take the embedding after this earlier layer.")
    ] = None,
    front_end: Annotated[
        str | None,
        typer.Option(
            help="common (one band for all), or study (native rate), for networks on pictures. "
            "Without: what the network was trained with."
        ),
    ] = None,
    band: Annotated[
        str | None,
        typer.Option(
            help="16k (default), 48k, 96k, all (as far as every recording reaches), or common (the "
            "pictures of 16k, empty above that)."
        ),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="Another front-end setting, such as levels=pcen. Repeatable."),
    ] = None,
    slow: Annotated[
        float,
        typer.Option(
            help="Play every clip this many times slower, so that sounds above the network's band "
            "come down into it."
        ),
    ] = 1.0,
    adapt_batch_norm: Annotated[
        bool,
        typer.Option(
            "--adapt-batch-norm", help="Recompute batch-norm statistics over these recordings."
        ),
    ] = False,
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
    augment_set: Annotated[
        list[str] | None,
        typer.Option(
            "--augment-set",
            help="What is altered: gain_db=6, shift=true, background_db=6 (null: none), "
            "bandlimit=true, slope_db=3, seed=0. Repeatable.",
        ),
    ] = None,
    reference: Annotated[
        bool,
        typer.Option("--reference", help="Embed the background of every labelled clip, too."),
    ] = False,
    device: Device = "auto",
    precision: PrecisionChoice = PrecisionName.auto,
    batch_size: BatchSize = None,
    threads: Threads = None,
    workers: WorkerCount = None,
    cluster: ClusterAddress = None,
    as_json: AsJson = False,
) -> None:
    """Turn clips into embeddings with a pretrained network. Goes on where it was stopped.

    Where no clip could be embedded, the exit status is 1.
    """
    from pseudorca.project import Project

    result = Project.open(project).embed(
        backbone,
        weights=weights,
        layer=layer,
        front_end=front_end,
        band=band,
        settings=dict(settings_from(setting or [])),
        adapt_batch_norm=adapt_batch_norm,
        slow=slow,
        n_views=augment,
        n_test_views=test_views,
        view_settings=dict(settings_from(augment_set or [], option="--augment-set")),
        reference=reference,
        device=device,
        precision=precision.value,
        batch_size=batch_size,
        n_threads=threads,
        n_workers=workers,
        cluster=cluster,
    )
    if not done(result, as_json):
        _say(result, has_more=bool(augment or test_views or reference))
    if not result.n_clips:
        raise typer.Exit(1)


def _say(result: "EmbedResult", *, has_more: bool) -> None:
    after = f" after {result.layer}" if result.layer else ""
    say(
        f"{result.n_clips} clips, {result.n_new} newly embedded by {result.backbone}{after} "
        f"({result.weights}, {result.embedding_size} numbers each; {result.licence})."
    )
    if has_more:
        say(
            f"Besides, newly embedded: {result.n_new_views} altered copies and "
            f"{result.n_new_backgrounds} backgrounds of labelled clips. Use them with --prepare."
        )
    say_problems(result.problems)
    say_notices(result.notices)
