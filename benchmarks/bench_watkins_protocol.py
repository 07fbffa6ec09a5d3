"""Accuracy on real recordings under the protocol of the field notes' table, MobileNetV2 rows.

    python benchmarks/bench_watkins_protocol.py [DATA] [WEIGHTS]

304 clips of six odontocete species, 3 s windows spread evenly (at most 10 a recording), frozen
MobileNetV2, standardised logistic regression with balanced classes and C by inner grouped folds, mean
log-probability per recording, recording-level balanced accuracy (chance 0.167). The table's own
numbers stand beside ours.
"""

import argparse
import tempfile
from pathlib import Path

import pandas as pd
import torch

from pseudorca.backbones import Backbone, load_backbone
from pseudorca.embedding.embedder import Embedder, save_embedder
from pseudorca.embedding.stream import embed_clips
from pseudorca.evaluation.evaluate import evaluate_project
from pseudorca.frontends.common import CommonFrontEnd
from pseudorca.frontends.study_picture import StudyFrontEnd
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.recipe import Recipe
from pseudorca.recordings.clips import ClipOptions, clips_project
from pseudorca.recordings.folds import Split
from pseudorca.recordings.manifest import ScanOptions
from pseudorca.recordings.scan import scan_project
from pseudorca.store import EMBEDDER_FOLDER, Store

SHARED = Path(__file__).resolve().parents[2] / "shared"
SPLITS = {
    "random windows": Split("random", n_folds=5, n_repeats=2),
    "random recordings": Split("recording", n_folds=5, n_repeats=2),
    "grouped": Split("tape_group", n_folds=3, n_repeats=5),
    "outing": Split("leave-one-outing-out"),
}
FRONT_ENDS = {
    "study image": StudyFrontEnd(frame=False, log_offset=1e-10),
    "log-mel 32 kHz, 80 dB": CommonFrontEnd(),
    "the same, median removed": CommonFrontEnd(background="median"),
}
PUBLISHED = {
    "study image": (0.89, 0.88, 0.46, 0.33),
    "log-mel 32 kHz, 80 dB": (0.90, 0.90, 0.56, 0.36),
    "the same, median removed": (0.87, 0.83, 0.51, None),
}


def with_symmetric_padding(backbone: Backbone) -> Backbone:
    """The same weights under torchvision's padding, which they were not trained with.

    The table was evidently made so: with TensorFlow's own padding its rows change places.
    """
    for name, old in list(backbone.named_modules()):
        if isinstance(old, torch.nn.Conv2d) and old.stride == (2, 2):
            new = torch.nn.Conv2d(
                old.in_channels,
                old.out_channels,
                3,
                2,
                1,
                groups=old.groups,
                bias=old.bias is not None,
            )
            new.load_state_dict(old.state_dict())
            backbone.set_submodule(name, new)
    return backbone.requires_grad_(False).eval()


def metadata_with_groups(data: Path, folder: Path) -> Path:
    """The set's metadata, with the groups of the table: encounters, the Norwegian tapes by year."""
    table = pd.read_csv(data / "metadata.csv", dtype=str)
    norway = table["encounter"] == "1989-92_Norway"
    table["tape_group"] = table["encounter"]
    table.loc[norway, "tape_group"] = "Norway " + table.loc[norway, "tape"].str[:2]
    # The folder joins both years; the table's grouping parts them, so the encounter must as well.
    table["encounter"] = table["tape_group"]
    path = folder / "metadata.csv"
    table.to_csv(path, index=False)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", default=SHARED / "data/watkins-odontocetes")
    parser.add_argument(
        "weights",
        nargs="?",
        default=str(SHARED / "weights/mobilenet_v2_imagenet1001_coral.safetensors"),
    )
    arguments = parser.parse_args()
    print("| MobileNetV2 | front end | " + " | ".join(SPLITS) + " | grouped, 95 % interval |")
    print("|---" * (len(SPLITS) + 3) + "|")
    for padding in ("TensorFlow padding", "symmetric padding"):
        with tempfile.TemporaryDirectory() as folder:  # a store each: the weights are the same
            run(Path(folder), arguments.data, arguments.weights, padding)
    print("\nInterval: exact per class over 3 to 12 tapes, combined. In brackets: the table.")


def run(folder: Path, data: Path, weights: str, padding: str) -> None:
    """Print a row per front end."""
    store = Store(folder / "project", create=True)
    metadata = metadata_with_groups(data, folder)
    scan_project(store, data, ScanOptions(metadata=metadata))
    clips_project(store, ClipOptions(window_s=3.0, max_per_recording=10))
    recordings, clips = store.read("recordings"), store.read("clips")
    clips = clips[clips["label"].notna()].reset_index(drop=True)
    for name, front_end in FRONT_ENDS.items():
        backbone = load_backbone("mobilenet_v2_tf", weights=weights)
        if padding == "symmetric padding":
            backbone = with_symmetric_padding(backbone)
        embedder = Embedder(front_end, backbone)
        embed_clips(clips, recordings, embedder, store)
        save_embedder(embedder, store.folder / EMBEDDER_FOLDER)
        result = evaluate_project(store, Recipe(LogisticHead()), list(SPLITS.values()))
        rows = [result[split.name].unit("recording") for split in SPLITS.values()]
        cells = [
            f"{row['balanced_accuracy']:.3f} ({'-' if value is None else format(value, '.2f')})"
            for row, value in zip(rows, PUBLISHED[name], strict=True)
        ]
        grouped = rows[list(SPLITS).index("grouped")]
        interval = f"{grouped['ci_low']:.2f} to {grouped['ci_high']:.2f}"
        print(f"| {padding} | {name} | " + " | ".join(cells) + f" | {interval} |", flush=True)


if __name__ == "__main__":
    main()
