"""The verb ``decide``."""

from pseudorca.cli.options import (
    AsJson,
    Formats,
    MaxError,
    MaxGap,
    MaxNovelty,
    MinMoments,
    MinProbability,
    Output,
    PriorText,
    ProjectFolder,
    SetName,
    ThreadCount,
    formats_from,
)
from pseudorca.cli.predict import say_predictions


def decide(
    project: ProjectFolder,
    set_name: SetName = None,
    prior: PriorText = "uniform",
    max_error: MaxError = None,
    out: Output = None,
    output_format: Formats = None,
    threads: ThreadCount = None,
    max_gap: MaxGap = 0.0,
    min_probability: MinProbability = 0.0,
    min_moments: MinMoments = 1,
    max_novelty: MaxNovelty = 1.0,
    as_json: AsJson = False,
) -> None:
    """Decide again on what was predicted, without listening again."""
    from pseudorca.project import Project

    result = Project.open(project).decide(
        set_name=set_name,
        prior=prior,
        max_error=max_error,
        min_probability=min_probability,
        min_moments=min_moments,
        max_novelty=max_novelty,
        out=out,
        formats=formats_from(output_format),
        max_gap_s=max_gap,
        n_threads=threads,
    )
    say_predictions(result, as_json)
