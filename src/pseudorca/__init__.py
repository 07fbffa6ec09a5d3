"""Which population or species of whale made this sound, and how far can that answer be trusted?

The public names, imported when they are first used: ``import pseudorca`` costs no torch.
"""

from importlib import import_module
from typing import Any

from pseudorca._version import __version__

_HOMES = {
    "Classifier": "pseudorca.prediction.asking",
    "ClipOptions": "pseudorca.recordings.options",
    "CommonFrontEnd": "pseudorca.frontends.common",
    "CompareOptions": "pseudorca.compare.compare",
    "Embedder": "pseudorca.embedding.embedder",
    "ForestHead": "pseudorca.learning.heads.forest",
    "Labels": "pseudorca.labels.labels",
    "LogisticHead": "pseudorca.learning.heads.logistic",
    "Manifest": "pseudorca.recordings.manifest",
    "Preparation": "pseudorca.learning.preparation",
    "Project": "pseudorca.project",
    "PseudoLabels": "pseudorca.learning.pseudo_labels",
    "PseudorcaError": "pseudorca.errors",
    "Recipe": "pseudorca.learning.recipe",
    "ScanOptions": "pseudorca.recordings.options",
    "SoftmaxHead": "pseudorca.learning.heads.softmax",
    "Split": "pseudorca.recordings.folds",
    "Store": "pseudorca.store",
    "StudyFrontEnd": "pseudorca.frontends.study_picture",
    "StudyOptions": "pseudorca.study.settings",
    "SurveyConfig": "pseudorca.simulation",
    "SvmHead": "pseudorca.learning.heads.per_class",
    "Tuning": "pseudorca.learning.tuning",
    "cross_validate": "pseudorca.learning.crossval",
    "cut": "pseudorca.recordings.clips",
    "decide_events": "pseudorca.events.events",
    "embed_clips": "pseudorca.embedding.stream",
    "load_backbone": "pseudorca.backbones",
    "make_folds": "pseudorca.recordings.folds",
    "make_head": "pseudorca.learning.heads.registry",
    "measure": "pseudorca.evaluation.metrics",
    "probe": "pseudorca.recordings.audio",
    "read_segment": "pseudorca.recordings.audio",
    "scan": "pseudorca.recordings.manifest",
    "simulate_survey": "pseudorca.simulation",
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'pseudorca' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
