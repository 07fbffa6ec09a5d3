"""The verb ``contours``."""

from pathlib import Path
from typing import Annotated

import typer

from pseudorca.cli.options import (
    AsJson,
    CsvStyle,
    OutputFolder,
)
from pseudorca.cli.output import done, say, table
from pseudorca.values import plural


def contours(
    *,
    tables: Annotated[
        list[Path],
        typer.Argument(help="Tables of contours, such as ROCCA's: a time and a frequency."),
    ],
    out: OutputFolder = Path("contours.csv"),
    csv: CsvStyle = "plain",
    as_json: AsJson = False,
) -> None:
    """Measure whistle contours in the manner of ROCCA: a row per contour, for any classifier."""
    from pseudorca.formats.rocca import measure_contour_tables

    result = measure_contour_tables(tables, out, for_excel=csv == "excel")
    if done(result, as_json):
        return
    shown = ("contour", "n_points", "duration", "freqBeg", "freqEnd", "freqMin", "freqMax")
    table(
        [*shown, "numInflections", "freqNumSteps"],
        (
            (
                row["contour"], row["n_points"], f"{row['duration']:.3f}",
                *(f"{row[name]:.0f}" for name in shown[3:]),
                f"{row['numInflections']:.0f}", f"{row['freqNumSteps']:.0f}",
            )
            for row in result.contours[:20].to_dict("records")
        ),
    )  # fmt: skip
    say(
        f"{plural(len(result.contours), 'contour')} measured; all measurements are in {result.output}."
    )
