"""The stages over a project folder: what each verb of the command line does, without the printing.

Every stage takes a :class:`~pseudorca.store.Store`, calls one room with plain tables, keeps the
result, and returns a dict of JSON values: the object that ``--json`` prints.
"""

from pseudorca.workflow.clips import clip_project
from pseudorca.workflow.embed import EmbedderOptions, embed_project
from pseudorca.workflow.evaluate import evaluate_project
from pseudorca.workflow.folds import folds_project
from pseudorca.workflow.predict import decide_again, predict_project
from pseudorca.workflow.rules import DecisionOptions
from pseudorca.workflow.scan import scan_project
from pseudorca.workflow.simulate import simulate
from pseudorca.workflow.train import train_project

__all__ = [
    "DecisionOptions",
    "EmbedderOptions",
    "clip_project",
    "decide_again",
    "embed_project",
    "evaluate_project",
    "folds_project",
    "predict_project",
    "scan_project",
    "simulate",
    "train_project",
]
