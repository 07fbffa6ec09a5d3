"""The command line: one verb per stage, options in, words out, over
:class:`pseudorca.project.Project` or a plain function.

An error that a user can mend is one line on stderr and exit status 2. Verbs import what they need
when they run (torch takes seconds), so that ``--help`` is at once there.
"""

import os
import sys
from typing import Annotated

import typer

from pseudorca._version import __version__
from pseudorca.cli import (
    audit,
    backbones,
    clips,
    compare,
    contours,
    decide,
    demo,
    embed,
    evaluate,
    events,
    folds,
    predict,
    predictions,
    report,
    reproduce,
    scan,
    simulate,
    spectrograms,
    train,
)
from pseudorca.cli.memory import keep_freed_memory
from pseudorca.cli.options import flag
from pseudorca.errors import PseudorcaError

app = typer.Typer(
    name="pseudorca",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Tells which population or species of whale made a sound, and how far that answer can be "
    "trusted. The usual order: scan, embed, train, evaluate, predict, report. To try it without "
    "recordings: demo.",
)
for _verb in (
    scan.scan,
    clips.clips,
    folds.folds,
    embed.embed,
    train.train,
    evaluate.evaluate,
    compare.compare,
    audit.audit,
    predict.predict,
    decide.decide,
    predictions.predictions,
    report.report,
    spectrograms.spectrograms,
    reproduce.reproduce,
    simulate.simulate,
    demo.demo,
    backbones.backbones,
    contours.contours,
    events.events,
):
    app.command()(_verb)

_INTERRUPTED = 130


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, flag("--version", "Print the version.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line; turn errors that a user can mend into one line and status 2."""
    keep_freed_memory()
    try:
        app()
    except PseudorcaError as error:
        text = " ".join(str(error).split())
        sys.stderr.write(f"{type(error).__name__}: {text}\n")
        sys.exit(2)
    except SystemExit as stop:
        if stop.code == _INTERRUPTED:  # typer's answer to Ctrl-C
            sys.stderr.write("Stopped. What was done is kept; run the same command to go on.\n")
        raise
    except Exception as error:
        if os.environ.get("PSEUDORCA_DEBUG"):
            raise
        text = " ".join(str(error).split())
        sys.stderr.write(
            f"Unexpected {type(error).__name__}: {text}. If this is not about a file or folder that "
            "was named, please report it, with what PSEUDORCA_DEBUG=1 before the command shows.\n"
        )
        sys.exit(2)
