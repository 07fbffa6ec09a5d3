"""The verb ``clips``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pseudorca.cli.options import AsJson, Pad, Project, open_store
from pseudorca.cli.output import done, say, say_problems, table


def clips(
    project: Project,
    window: Annotated[float, typer.Option(help="Seconds per clip.")] = 3.0,
    overlap: Annotated[float, typer.Option(help="Seconds shared by neighbours.")] = 0.0,
    whole: Annotated[bool, typer.Option("--whole", help="Each recording is one clip.")] = False,
    most: Annotated[
        int | None, typer.Option("--max-per-recording", min=1, help="Spread evenly over it.")
    ] = None,
    pad: Annotated[Pad, typer.Option(help="What fills clips that are too short.")] = Pad.tile,
    channels: Annotated[
        str, typer.Option(help="mean, first, each, or a channel's number from 1.")
    ] = "mean",
    selections: Annotated[
        list[Path] | None,
        typer.Option(help="Raven selection table, or a folder of them: cut these stretches only."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Cut recordings into clips: windows, whole files, or Raven selections.

    Where there is no clip, the exit status is 1.
    """
    from pseudorca import project as workflow
    from pseudorca.errors import ClipError
    from pseudorca.recordings.clips import ClipOptions

    options = ClipOptions(
        window_s=None if whole else window,
        overlap_s=0.0 if whole else overlap,
        max_per_recording=most,
        pad=pad.value,
        channels=channels,
    )
    tables: list[Path] = []
    for path in selections or []:
        found = sorted(path.rglob("*.txt")) if path.is_dir() else [path]
        if not found:
            raise ClipError(
                f"--selections {path}: expected Raven tables, and it holds no .txt file."
            )
        tables += found
    result = workflow.clip_project(open_store(project), options, selections=tables)
    _say(result, pad, as_json)
    if not result["n_clips"]:
        raise typer.Exit(1)


def _say(result: dict[str, Any], pad: Pad, as_json: bool) -> None:
    if done(result, as_json):
        return
    say(
        f"{result['n_clips']} clips of {result['n_moments']} moments; {result['n_padded']} are "
        f"shorter than the window and filled ({pad.value})."
    )
    table(["class", "clips"], result["clips_per_class"].items())
    say_problems(result)
