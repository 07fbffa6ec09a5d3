"""The stages over a project folder: what each verb of the command line does, without the printing.

Every stage takes a :class:`~pseudorca.store.Store`, calls one room with plain tables, keeps the
result, and returns a dict of JSON values: the object that ``--json`` prints.
"""

from pseudorca.workflow.audit import AuditOptions, audit_project
from pseudorca.workflow.clips import clip_project
from pseudorca.workflow.compare import CompareOptions, compare_project
from pseudorca.workflow.computing import Computing
from pseudorca.workflow.contours import measure_contour_tables
from pseudorca.workflow.decide_events import EventOptions, decide_events
from pseudorca.workflow.embed import EmbedderOptions, embed_project
from pseudorca.workflow.evaluate import evaluate_project
from pseudorca.workflow.folds import folds_project
from pseudorca.workflow.predict import decide_again, predict_project
from pseudorca.workflow.rules import DecisionOptions
from pseudorca.workflow.scan import scan_project
from pseudorca.workflow.simulate import simulate
from pseudorca.workflow.spectrograms import spectrogram_project
from pseudorca.workflow.train import train_project

__all__ = [
    "AuditOptions",
    "CompareOptions",
    "Computing",
    "DecisionOptions",
    "EmbedderOptions",
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
