"""Animals or recorders? Which audit the report shows, what warns of it, what to run without one."""

import json
from collections.abc import Mapping
from typing import Any

from pseudorca.audit.section import verdict_blocks
from pseudorca.learning.recipe import Recipe
from pseudorca.pages.blocks import Block, Commands, Notices, Section, Text
from pseudorca.report.contents import Contents, typed, was_made_by


def audit_section(project: Contents) -> Section:
    """Show the latest audit, or how to make one.

    Parameters
    ----------
    project : Contents

    Returns
    -------
    Section
    """
    section = Section("audit", "Animals or recorders?")
    findings, n_audits = latest_audit(project)
    if findings is None:
        line = f"pseudorca audit --project {project.argument}{typed(project, for_audit=True)}"
        section.blocks += [
            Text(
                "Not known: nobody has asked how well the classes can be told apart without hearing "
                "the animals, by the facts of the files and the noise between the sounds alone."
            ),
            Commands("To find out, run:", [line]),
        ]
        return section
    section.blocks += verdict_blocks(findings, n_audits, _warnings(project, findings))
    return section


def latest_audit(project: Contents) -> tuple[dict[str, Any] | None, int]:
    """The latest audit that can be read, and how many there are."""
    rows = project.store.read("audits").sort_values("time_utc", ascending=False)
    for row in rows.itertuples():
        try:
            return {"time_utc": str(row.time_utc)} | dict(json.loads(str(row.result))), len(rows)
        except ValueError as error:
            project.note_trouble("audits", error)
    return None, 0


def _warnings(project: Contents, found: Mapping[str, Any]) -> list[Block]:
    sentences = list(found["notices"])
    if project.classifiers and not was_made_by(project, found["recipe"]):
        sentences.append(
            f"No saved classifier was trained the way that was audited "
            f"({Recipe.from_settings(found['recipe']).describe()}): this is not about it."
        )
    for table, version in found["tables"].items():
        if (now := project.store.version(table)) != version:
            sentences.append(
                f"The table of {table} was written anew after this audit (version {version} then, "
                f"{now} now). If it changed, audit again."
            )
    embedder = (project.embedder or {}).get("embedder_id")
    if embedder is not None and embedder != found["recipe"]["embedder_id"]:
        sentences.append("The embeddings were made anew after this audit: audit again.")
    return [Notices(sentences)] if sentences else []
