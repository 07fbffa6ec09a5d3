"""The stages over a project folder: what each verb of the command line does, without the printing.

Every stage takes a :class:`~pseudorca.store.Store`, calls one room with plain tables, keeps the
result, and returns a dict of JSON values: the object that ``--json`` prints.
"""

from pseudorca.audit.audit import AuditOptions, audit_project
from pseudorca.compare.compare import CompareOptions, compare_project
from pseudorca.embedding.computing import Computing
from pseudorca.embedding.embed import EmbedderOptions, embed_project
from pseudorca.evaluation.evaluate import EvaluateOptions, evaluate_project
from pseudorca.events.decide_events import EventOptions, decide_events
from pseudorca.formats.rocca import measure_contour_tables
from pseudorca.frontends.spectrograms import spectrogram_project
from pseudorca.learning.train import train_project
from pseudorca.prediction.predict import decide_again, predict_project
from pseudorca.prediction.rules import DecisionOptions
from pseudorca.recordings.clips import clip_project
from pseudorca.recordings.folds import folds_project
from pseudorca.recordings.scan import scan_project
from pseudorca.simulation.simulate import simulate

__all__ = [
    "AuditOptions",
    "CompareOptions",
    "Computing",
    "DecisionOptions",
    "EmbedderOptions",
    "EvaluateOptions",
    "EventOptions",
    "audit_project",
    "clip_project",
    "compare_project",
    "decide_again",
    "decide_events",
    "embed_project",
    "evaluate_project",
    "folds_project",
    "measure_contour_tables",
    "predict_project",
    "scan_project",
    "simulate",
    "spectrogram_project",
    "train_project",
]
