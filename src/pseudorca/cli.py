"""The command line: one verb per stage, each a thin wrapper around :mod:`pseudorca.workflow`.

Readable output goes to stdout, or with ``--json`` one JSON object; progress and messages go to
stderr. An error that a user can mend is one line on stderr and exit status 2.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from pseudorca._version import __version__
from pseudorca.errors import PseudorcaError

# pseudorca.workflow imports torch: each verb imports it when it runs, so that --help is at once there.
if TYPE_CHECKING:
    from pseudorca.learning.heads import Head
    from pseudorca.recordings.folds import Split

app = typer.Typer(
    name="pseudorca",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Tells which population or species of whale made a sound, and how far that answer can be "
    "trusted. The usual order: scan, embed, train, evaluate, predict, report. To try it without "
    "recordings: simulate.",
)
# Through a pipe nothing wraps at the 80 columns that rich would assume.
_out = Console(width=None if sys.stdout.isatty() else 200)
_err = Console(stderr=True)
_INTERRUPTED = 130


class _Pad(StrEnum):
    tile = "tile"
    zero = "zero"
    drop = "drop"


class _HeadName(StrEnum):
    logistic = "logistic"
    softmax = "softmax"


class _Balance(StrEnum):
    none = "none"
    sampler = "sampler"
    weights = "weights"


class _Precision(StrEnum):
    auto = "auto"
    float32 = "float32"
    mixed = "mixed"


class _Conflict(StrEnum):
    error = "error"
    drop = "drop"


class _Format(StrEnum):
    csv = "csv"
    parquet = "parquet"


Project = Annotated[Path, typer.Option("--project", "-p", help="Project folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Threads that read files; one per core.")
]
NamePattern = Annotated[
    str | None,
    typer.Option(
        help="Your own regular expression over paths, with the groups start, platform, encounter, "
        "channel or selection, such as '(?P<platform>rec\\d+)_(?P<start>\\d{12})'."
    ),
]
TimeFormat = Annotated[
    str | None, typer.Option(help="strptime format of the group start, such as %y%m%d%H%M%S (UTC).")
]
Device = Annotated[str, typer.Option(help="auto, cpu, or cuda (cuda:1, ...).")]
Precise = Annotated[
    _Precision, typer.Option(help="auto: mixed precision on a GPU, float32 elsewhere.")
]
BatchSize = Annotated[int, typer.Option(min=1, help="Pictures per pass through the network.")]
HeadName = Annotated[
    _HeadName,
    typer.Option("--head", help="logistic regression, or softmax trained by SGD as in the study."),
]
Balancing = Annotated[
    _Balance | None,
    typer.Option(
        "--balance",
        help="Class imbalance: none, sampler (weighted random batches; softmax), or class weights. "
        "Without it: weights for logistic, none for softmax (as in the study).",
    ),
]
Strength = Annotated[
    float | None,
    typer.Option("--c", help="logistic: inverse penalty. Without it: chosen by inner folds."),
]
Rate = Annotated[float | None, typer.Option("--learning-rate", help="softmax: 0.001.")]
Momentum = Annotated[float | None, typer.Option("--momentum", help="softmax: 0.9.")]
Epochs = Annotated[int | None, typer.Option("--epochs", min=1, help="softmax: 24.")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of whatever is random.")]
Folds = Annotated[int, typer.Option(min=2, help="Folds, where the split has any.")]
Repeats = Annotated[int, typer.Option(min=1, help="Times the split is drawn anew.")]
GroupBy = Annotated[
    str | None,
    typer.Option(
        "--group-by", help="Split by this column: recording, platform, day, or one of the metadata."
    ),
]
_SPLIT_HELP = (
    "encounter (default), random, stratified, recording, study (the study's 60/20/20), any column, "
    "or leave-one-COLUMN-out such as leave-one-encounter-out."
)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def scan(
    folder: Annotated[Path, typer.Argument(help="Folder with class folders of recordings.")],
    project: Project,
    labels: Annotated[
        str | None,
        typer.Option(help="Class folders, such as Insular,Pelagic. Without: the top folders."),
    ] = None,
    metadata: Annotated[
        Path | None, typer.Option(help="CSV joined by its column path, file or encounter.")
    ] = None,
    name_pattern: NamePattern = None,
    time_format: TimeFormat = None,
    cut_gaps: Annotated[
        float | None, typer.Option(help="Cut encounters at pauses longer than this many hours.")
    ] = None,
    on_conflict: Annotated[
        _Conflict, typer.Option(help="One sound under two labels: stop, or leave both out.")
    ] = _Conflict.error,
    full_hash: Annotated[
        bool, typer.Option("--full-hash", help="Decode recordings over 10 minutes wholly, too.")
    ] = False,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Find the recordings below a folder, with their labels, encounters and problems."""
    from pseudorca.recordings.manifest import ScanOptions

    options = ScanOptions(
        labels=tuple(name.strip() for name in labels.split(",")) if labels is not None else None,
        metadata=metadata,
        name_pattern=name_pattern,
        time_format=time_format,
        full_hash=full_hash,
        on_conflict=on_conflict.value,
        cut_gaps_h=cut_gaps,
    )
    from pseudorca import workflow

    store = _store(project, create=True)
    with _progress("Reading recordings") as update:
        result = workflow.scan_project(store, folder, options, n_workers=workers, progress=update)
    if _done(result, as_json):
        return
    hours = result["duration_s"] / 3600
    _say(
        f"{result['n_recordings']} recordings ({hours:.2f} h): {result['n_labelled']} labelled, "
        f"{result['n_unlabelled']} unlabelled, in {result['n_encounters']} encounters."
    )
    _table(["class", "recordings"], result["classes"].items())
    _problems(result)


@app.command()
def clips(
    project: Project,
    window: Annotated[float, typer.Option(help="Seconds per clip.")] = 3.0,
    overlap: Annotated[float, typer.Option(help="Seconds shared by neighbours.")] = 0.0,
    whole: Annotated[bool, typer.Option("--whole", help="Each recording is one clip.")] = False,
    most: Annotated[
        int | None, typer.Option("--max-per-recording", min=1, help="Spread evenly over it.")
    ] = None,
    pad: Annotated[_Pad, typer.Option(help="What fills clips that are too short.")] = _Pad.tile,
    channels: Annotated[
        str, typer.Option(help="mean, first, each, or a channel's number from 1.")
    ] = "mean",
    selections: Annotated[
        list[Path] | None,
        typer.Option(help="Raven selection table, or a folder of them: cut these stretches only."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Cut recordings into clips: windows, whole files, or Raven selections."""
    from pseudorca import workflow
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
        tables += sorted(path.rglob("*.txt")) if path.is_dir() else [path]
    result = workflow.clip_project(_store(project), options, selections=tables)
    if _done(result, as_json):
        return
    _say(
        f"{result['n_clips']} clips of {result['n_moments']} moments; {result['n_padded']} are "
        f"shorter than the window and filled ({pad.value})."
    )
    _table(["class", "clips"], result["clips_per_class"].items())
    _problems(result)


@app.command()
def folds(
    project: Project,
    split: Annotated[str, typer.Option(help=_SPLIT_HELP)] = "encounter",
    group_by: GroupBy = None,
    n_folds: Annotated[int, typer.Option("--folds", min=2)] = 5,
    repeats: Annotated[int, typer.Option(min=1)] = 1,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Make a split, verify it, and show what stands on which side."""
    from pseudorca import workflow

    chosen = _splits([split], group_by, n_folds, repeats, seed)[0]
    result = workflow.folds_project(_store(project), chosen)
    if _done(result, as_json):
        return
    _say(f"Split {chosen.name}: {result['n_groups']} groups by {result['group_by']}, verified.")
    _table(
        ["repeat", "fold", "train", "test", "test groups", "test clips per class"],
        (
            (
                row["repeat"], row["fold"], row["n_train"], row["n_test"], row["n_test_groups"],
                ", ".join(f"{label} {n}" for label, n in sorted(row["test_per_class"].items())),
            )
            for row in result["folds"]
        ),
    )  # fmt: skip
    if result["not_testable"]:
        _say(f"Not testable: {', '.join(result['not_testable'])}.")


@app.command()
def embed(
    project: Project,
    backbone: Annotated[
        str, typer.Option(help="Network, by its torchvision name; see: pseudorca backbones.")
    ] = "pseudorca_small",
    weights: Annotated[
        str, typer.Option(help="official, the name of official weights, or a file.")
    ] = "official",
    layer: Annotated[
        str | None, typer.Option(help="Take the embedding after this earlier layer.")
    ] = None,
    front_end: Annotated[
        str, typer.Option(help="common (one band for all), or study (native rate).")
    ] = "common",
    band: Annotated[
        str, typer.Option(help="16k, 48k, 96k, or all (as far as every recording reaches).")
    ] = "16k",
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="Another front-end setting, such as levels=pcen. Repeatable."),
    ] = None,
    adapt_batch_norm: Annotated[
        bool,
        typer.Option(
            "--adapt-batch-norm", help="Recompute batch-norm statistics over these recordings."
        ),
    ] = False,
    device: Device = "auto",
    precision: Precise = _Precision.auto,
    batch_size: BatchSize = 32,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Turn clips into embeddings with a pretrained network. Goes on where it was stopped."""
    from pseudorca import workflow

    options = workflow.EmbedderOptions(
        backbone, weights, layer, front_end, band, _settings(setting or []), adapt_batch_norm
    )
    store = _store(project)
    with _progress("Embedding clips") as update:
        result = workflow.embed_project(
            store, options, device=device, precision=precision.value, batch_size=batch_size,
            n_workers=workers, progress=update,
        )  # fmt: skip
    if _done(result, as_json):
        return
    after = f" after {result['layer']}" if result["layer"] else ""
    _say(
        f"{result['n_clips']} clips, {result['n_new']} newly embedded by {result['backbone']}{after} "
        f"({result['weights']}, {result['embedding_size']} numbers each; {result['licence']})."
    )
    _problems(result)


@app.command()
def train(
    project: Project,
    name: Annotated[str, typer.Option(help="Name of the classifier.")] = "classifier",
    head: HeadName = _HeadName.logistic,
    balance: Balancing = None,
    c: Strength = None,
    learning_rate: Rate = None,
    momentum: Momentum = None,
    epochs: Epochs = None,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Train a classifier on all labelled clips and save it in the project."""
    from pseudorca import workflow

    made = _head(head, balance, c, learning_rate, momentum, epochs, seed)
    result = workflow.train_project(_store(project), made, name=name)
    if _done(result, as_json):
        return
    _notices(result)
    _say(f"Saved {result['classifier']} ({result['classifier_id']}), trained on:")
    _table(
        ["class", "clips", "recordings", "encounters"],
        (
            (label, n, result["n_recordings"][label], result["n_encounters"][label])
            for label, n in sorted(result["n_clips"].items())
        ),
    )
    _say("How good it is, this does not say: run pseudorca evaluate.")


@app.command()
def evaluate(
    project: Project,
    split: Annotated[list[str] | None, typer.Option(help=f"{_SPLIT_HELP} Repeatable.")] = None,
    group_by: GroupBy = None,
    n_folds: Annotated[int, typer.Option("--folds", min=2, help="Folds of a split.")] = 5,
    repeats: Repeats = 3,
    head: HeadName = _HeadName.logistic,
    balance: Balancing = None,
    c: Strength = None,
    learning_rate: Rate = None,
    momentum: Momentum = None,
    epochs: Epochs = None,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Cross-validate: how good is a classifier on encounters it never heard?"""
    from pseudorca import workflow

    made = _head(head, balance, c, learning_rate, momentum, epochs, seed)
    splits = _splits(split or ["encounter"], group_by, n_folds, repeats, seed)
    store = _store(project)
    with _progress("Training heads") as update:
        result = workflow.evaluate_project(store, made, splits, progress=update)
    if _done(result, as_json):
        return
    from pseudorca.recordings.folds import Split

    def named(split: str) -> str:
        return f"{split} (optimistic)" if Split(split).is_optimistic else split

    _table(
        ["split", "unit", "n", "groups", "balanced accuracy", "95 % interval", "baseline", "accuracy"],
        (
            (
                named(row["split"]), row["unit"], row["n_units"], row["n_groups"],
                f"{row['balanced_accuracy']:.3f}", f"{row['ci_low']:.2f} to {row['ci_high']:.2f}",
                f"{row['majority_baseline']:.3f}",
                f"{row['accuracy']:.3f} (majority {row['majority_accuracy']:.3f})",
            )
            for row in result["results"]
        ),
    )  # fmt: skip
    _headline(result["results"])
    _notices(result)


@app.command()
def predict(
    project: Project,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Files and folders. Without: the project's unlabelled recordings."),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the classifier.")] = "classifier",
    out: Annotated[Path | None, typer.Option(help="Folder for the tables.")] = None,
    output_format: Annotated[
        _Format, typer.Option("--format", help="Of the tables.")
    ] = _Format.csv,
    name_pattern: NamePattern = None,
    time_format: TimeFormat = None,
    device: Device = "auto",
    precision: Precise = _Precision.auto,
    batch_size: BatchSize = 32,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Say which population each clip, recording and encounter sounds like."""
    from pseudorca import workflow
    from pseudorca.recordings.manifest import ScanOptions

    options = ScanOptions(name_pattern=name_pattern, time_format=time_format)
    store = _store(project)
    with _progress("Predicting") as update:
        result = workflow.predict_project(
            store, tuple(paths or ()), name=name, output=out, kind=output_format.value,
            options=options, device=device, precision=precision.value, batch_size=batch_size,
            n_workers=workers, progress=update,
        )  # fmt: skip
    if _done(result, as_json):
        return
    _say(
        f"{result['n_files']} files, {result['n_clips']} clips, {result['n_encounters']} encounters."
    )
    _table(["most probable", "recordings"], result["recordings_per_class"].items())
    _say(
        f"Probabilities are not calibrated and presuppose a {result['prior']} prior. Tables are in "
        f"{result['output']}."
    )
    _problems(result)


@app.command()
def report(
    project: Project,
    out: Annotated[Path | None, typer.Option(help="HTML file. Without: report.html.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write everything the project knows into one HTML file."""
    from pseudorca.reporting.report import write_report

    target = out or project / "report.html"
    store = _store(project)
    with _progress("Drawing") as update:
        result = write_report(store, target, progress=update)
    if _done(result, as_json):
        return
    _say(f"Open {result['output']} in a browser.")


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(help="New folder: gets recordings/ and truth/.")],
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 0,
    effect: Annotated[
        float, typer.Option(help="Difference of the populations in standard deviations; 0: none.")
    ] = 1.0,
    encounter_signature: Annotated[
        float, typer.Option(help="0 to 1: how alike the clips of one encounter are.")
    ] = 0.7,
    confound: Annotated[
        float, typer.Option(help="0 to 1: how often a population has its own recorder.")
    ] = 0.0,
    encounters: Annotated[int, typer.Option(help="Labelled encounters.")] = 16,
    n_clips: Annotated[int, typer.Option("--clips", help="Labelled clips.")] = 200,
    noise: Annotated[
        list[Path] | None, typer.Option(help="Real noise to mix in: a file, or a folder of them.")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="Another setting, such as sample_rate=192000. Repeatable."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Make a survey whose truth is known, with the folders and names of a real one."""
    from pseudorca import workflow

    with _progress("Simulating") as update:
        result = workflow.simulate(
            out,
            seed=seed,
            effect=effect,
            encounter_signature=encounter_signature,
            confound=confound,
            n_encounters=encounters,
            n_clips=n_clips,
            noise=tuple(noise or ()),
            settings=dict(_settings(setting or [])),
            n_workers=workers,
            progress=update,
        )
    if _done(result, as_json):
        return
    _say(
        f"{result['n_files']} files ({result['duration_s'] / 60:.1f} min) of "
        f"{result['n_encounters']} encounters in {result['recordings']}; the truth is in "
        f"{result['truth']}."
    )
    _table(["class", "files"], result["files_per_class"].items())


@app.command()
def demo(
    data: Annotated[
        Path | None, typer.Argument(help="Your class folders. Without: a simulated survey.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for everything it makes.")] = Path("demo"),
    as_json: AsJson = False,
) -> None:
    """Do the whole job once: scan, embed, train, evaluate, predict, report. Needs no download."""
    from pseudorca import workflow
    from pseudorca.learning.heads import LogisticHead
    from pseudorca.recordings.folds import Split
    from pseudorca.recordings.manifest import ScanOptions
    from pseudorca.reporting.report import write_report

    folder = data or out / "survey" / "recordings"
    if data is None:
        with _progress("Simulating a survey") as update:
            workflow.simulate(out / "survey", effect=2.0, progress=update)
    store = _store(out / "project", create=True)
    with _progress("Reading recordings") as update:
        scanned = workflow.scan_project(store, folder, ScanOptions(), progress=update)
    with _progress("Embedding clips") as update:
        embedded = workflow.embed_project(store, workflow.EmbedderOptions(), progress=update)
    workflow.train_project(store, LogisticHead())
    with _progress("Training heads") as update:
        splits = [Split("encounter", n_repeats=3), Split("random", n_repeats=3)]
        evaluated = workflow.evaluate_project(store, LogisticHead(), splits, progress=update)
    said: dict[str, Any] = {"recordings_per_class": {}, "n_encounters": 0}
    if scanned["n_unlabelled"]:
        with _progress("Predicting") as update:
            said = workflow.predict_project(store, progress=update)
    with _progress("Drawing the report") as update:
        report = write_report(store, out / "report.html", progress=update)
    found = {row["split"]: row for row in evaluated["results"] if row["unit"] == "encounter"}
    result = {
        "n_recordings": scanned["n_recordings"],
        "backbone": embedded["backbone"],
        "by_encounter": found["encounter"],
        "random": found["random"],
        "predictions": said,
        "output": report["output"],
    }
    if _done(result, as_json):
        return
    honest, optimistic = found["encounter"], found["random"]
    _say(
        f"{scanned['n_labelled']} labelled recordings by {embedded['backbone']}: on encounters never "
        f"heard, balanced accuracy {honest['balanced_accuracy']:.2f} (95 % interval "
        f"{honest['ci_low']:.2f} to {honest['ci_high']:.2f}, guessing "
        f"{honest['majority_baseline']:.2f}); a random split would say "
        f"{optimistic['balanced_accuracy']:.2f}."
    )
    counts = ", ".join(f"{n} {label}" for label, n in said["recordings_per_class"].items())
    _say(
        f"Unknown recordings ({said['n_encounters']} encounters), most probable: {counts or 'none'}."
    )
    _say(f"Open {report['output']} in a browser.")


@app.command()
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
    if _done({"backbones": rows}, as_json):
        return
    _table(
        ["name", "input", "licence", "official weights"],
        (
            (row["name"], row["input_size"], row["licence"], ", ".join(row["weights"]) or "none")
            for row in rows
        ),
    )


def main() -> None:
    """Run the command line; turn errors that a user can mend into one line and status 2."""
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


def _store(project: Path, *, create: bool = False) -> Any:
    from pseudorca.store import Store

    return Store(project, create=create)


def _head(
    name: _HeadName,
    balance: _Balance | None,
    c: float | None,
    learning_rate: float | None,
    momentum: float | None,
    epochs: int | None,
    seed: int | None,
) -> "Head":
    from pseudorca.learning.heads import make_head

    return make_head(
        name.value,
        balance=balance.value if balance else None,
        c=c,
        learning_rate=learning_rate,
        momentum=momentum,
        n_epochs=epochs,
        seed=seed,
    )


def _splits(
    names: list[str], group_by: str | None, n_folds: int, n_repeats: int, seed: int | None
) -> list["Split"]:
    from pseudorca.recordings.folds import STUDY_SEED, Split

    if group_by is not None:
        names = [
            name.replace("encounter", group_by) if "encounter" in name else name for name in names
        ]
    made = []
    for name in names:
        one = name == "study" or Split(name).leaves_one_out
        default = STUDY_SEED if name == "study" else 0
        made.append(
            Split(name, n_folds, 1 if one else n_repeats, default if seed is None else seed)
        )
    return made


def _settings(texts: list[str]) -> tuple[tuple[str, Any], ...]:
    found = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise PseudorcaError(f"--set {text!r}: expected NAME=VALUE, such as levels=pcen.")
        try:
            found.append((name, json.loads(value)))
        except ValueError:
            found.append((name, value))
    return tuple(found)


@contextmanager
def _progress(text: str) -> Iterator[Callable[[int, int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=_err, transient=True) as shown:
        task = shown.add_task(text, total=None)

        def update(done: int, total: int) -> None:
            shown.update(task, completed=done, total=total)

        yield update


def _done(result: dict[str, Any], as_json: bool) -> bool:
    if as_json:
        typer.echo(json.dumps(result, default=str))
    return as_json


def _say(text: str) -> None:
    _out.print(text, highlight=False, soft_wrap=True, markup=False)


def _table(columns: list[str], rows: Any) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    _out.print(table, highlight=False)


def _problems(result: dict[str, Any], most: int = 10) -> None:
    rows = result["problems"]
    if rows:
        _say(f"{len(rows)} problems, everything else is unharmed:")
        _table(
            ["file", "reason", "detail"],
            ((row["path"], row["reason"], row["detail"]) for row in rows[:most]),
        )
        if len(rows) > most:
            _say(f"... and {len(rows) - most} more (--json shows all).")
    _notices(result)


def _notices(result: dict[str, Any]) -> None:
    for notice in result.get("notices", []):
        _say(f"* {notice}")


def _headline(results: list[dict[str, Any]]) -> None:
    """One sentence on the honest number: encounters that were never heard, with its interval."""
    from pseudorca.recordings.folds import Split

    honest = [
        r for r in results if not Split(r["split"]).is_optimistic and r["unit"] == "encounter"
    ]
    for row in honest:
        _say(
            f"Encounters never heard before (split {row['split']}): balanced accuracy "
            f"{row['balanced_accuracy']:.2f}, 95 % interval {row['ci_low']:.2f} to "
            f"{row['ci_high']:.2f} ({row['interval_method']}); always naming one class: "
            f"{row['majority_baseline']:.2f}."
        )
    if not honest:
        _say("These splits are optimistic: clips of one encounter stand on both sides.")
