"""How far to trust a classifier of real recordings: every split, the audit, and what stays undecided.

    python benchmarks/bench_watkins_trust.py [--permutations 199] [--keep FOLDER]

Two problems on the odontocetes of `../shared/data`: six species, and false killer whale against the
other three blackfish. Two networks: the one in the box, and MobileNetV2 with ImageNet weights. Each
goes through the verbs: scan, embed, evaluate (encounter, random, outing), audit, train, predict. At
wanted error rates, on sounds of no class: melon-headed whales (`Unknown`), and hydrophones without
any of the species. Reports stay in FOLDER.
"""

import argparse
import tempfile
from pathlib import Path

import pandas as pd

from pseudorca.audit.audit import audit_project
from pseudorca.audit.options import AuditOptions
from pseudorca.embedding.embed import EmbedderOptions, embed_project
from pseudorca.evaluation.evaluate import evaluate_project
from pseudorca.learning.heads.logistic import LogisticHead
from pseudorca.learning.recipe import Recipe
from pseudorca.learning.train import train_project
from pseudorca.prediction.options import DecisionOptions
from pseudorca.prediction.predict import predict_project
from pseudorca.recordings.folds import Split
from pseudorca.recordings.manifest import ScanOptions
from pseudorca.recordings.scan import scan_project
from pseudorca.report.report import report_project
from pseudorca.store import Store

SHARED = Path(__file__).resolve().parents[2] / "shared"
WATKINS = SHARED / "data" / "watkins-odontocetes"
NETWORKS = {
    "pseudorca_small": {},
    "mobilenet_v2_tf": {
        "weights": str(SHARED / "weights" / "mobilenet_v2_imagenet1001_coral.safetensors")
    },
}
BLACKFISH = ("KillerWhale", "LongFinnedPilotWhale", "ShortFinnedPilotWhale")
NO_SPECIES = {
    "melon-headed whales": WATKINS / "Unknown",
    "other hydrophones": SHARED / "data" / "hydrophones",
}
ERRORS = (0.1, 0.2, 0.3, 0.4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--permutations", type=int, default=199)
    parser.add_argument("--keep", type=Path, help="folder that keeps projects and reports")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = given.keep or Path(temporary)
        for problem, folder in (("six species", WATKINS), ("two classes", two_classes(root))):
            for network, options in NETWORKS.items():
                project = root / f"{problem} {network}".replace(" ", "_")
                print(f"\n## {problem}, {network}\n", flush=True)
                report(Store(project, create=True), folder, network, options, given.permutations)


def two_classes(root: Path) -> Path:
    """False killer whale against the other blackfish, as class folders of links."""
    folder = root / "blackfish"
    if folder.exists():
        return folder
    table = pd.read_csv(WATKINS / "metadata.csv")
    table = table[table["label"].isin(("FalseKillerWhale", *BLACKFISH))]
    false_killer = table["label"] == "FalseKillerWhale"
    table["label"] = table["label"].where(false_killer, "OtherBlackfish")
    source = table["path"].tolist()
    parts = table["path"].str.split("/").str
    table["path"] = table["label"] + "/" + parts[0] + "_" + parts[1] + "/" + parts[2]
    table["encounter"] = parts[0] + "_" + parts[1]
    for old, new in zip(source, table["path"], strict=True):
        (folder / new).parent.mkdir(parents=True, exist_ok=True)
        (folder / new).symlink_to(WATKINS / old)
    table.to_csv(folder / "metadata.csv", index=False)
    return folder


def report(store: Store, folder: Path, network: str, options: dict, n_permutations: int) -> None:
    """Run the verbs on one problem with one network and print what came out."""
    scan_project(store, folder, ScanOptions(metadata=folder / "metadata.csv"))
    embed_project(store, EmbedderOptions(network, **options))
    head = LogisticHead()
    splits = [Split("encounter", n_repeats=3), Split("random", n_repeats=3)]
    splits.append(Split("leave-one-outing-out"))
    results = evaluate_project(store, Recipe(head), splits).as_json()["results"]
    print("| split | unit | balanced accuracy | 95 % interval | Brier score (knowing nothing) |")
    print("|---|---|---|---|---|")
    for row in results:
        brier = ""
        if true := row.get("reliability"):
            brier = f"{true['brier']:.2f} ({true['brier_baseline']:.2f})"
        interval = f"{row['ci_low']:.2f} to {row['ci_high']:.2f}"
        value = f"{row['balanced_accuracy']:.3f}"
        print(f"| {row['split']} | {row['unit']} | {value} | {interval} | {brier} |")
    audit = audit_project(
        store, Recipe(head), Split("encounter"), AuditOptions(n_permutations=n_permutations)
    ).as_json()
    print(f"\n{audit['summary']}\n")
    print("| control | votes | balanced accuracy | 95 % interval | p |\n|---|---|---|---|---|")
    for row in audit["controls"]:
        p = "" if row["p"] is None else f"{row['p']:.3f}"
        votes = "yes" if row["kind"] == "nuisance" else ""
        interval = f"{row['low']:.2f} to {row['high']:.2f}"
        print(f"| {row['name']} | {votes} | {row['value']:.2f} | {interval} | {p} |")
    for name, sentence in audit["explained"].items():
        print(f"- {name}: {sentence}")
    train_project(store, Recipe(head))
    print("\n| sounds of no class | wrong at most | recordings | undecided | wrongly named |")
    print("|---|---|---|---|---|")
    for name, sounds in NO_SPECIES.items():
        for rate in (None, *ERRORS):
            decision = DecisionOptions(max_error=rate)
            found = predict_project(store, [sounds], decision=decision)
            counts = found.recordings_per_class
            n, undecided = sum(counts.values()), counts.get("undecided", 0)
            shown = "any" if rate is None else rate
            print(f"| {name} | {shown} | {n} | {undecided} | {n - undecided} |", flush=True)
    report_project(store, store.folder / "report.html")


if __name__ == "__main__":
    main()
