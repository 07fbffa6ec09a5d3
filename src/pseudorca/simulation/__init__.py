"""Simulated surveys with known truth: animals, background, recorders, and folders of recordings."""

from pseudorca.simulation.animals import Group, Signal, draw_group, draw_scene
from pseudorca.simulation.clip import ClipTruth, record_scene, simulate_clip
from pseudorca.simulation.plan import SurveyConfig
from pseudorca.simulation.recorders import RECORDERS, Recorder, draw_recorder, recorder
from pseudorca.simulation.simulate import SimulateResult, simulate_survey
from pseudorca.simulation.species import (
    KINDS,
    POPULATIONS,
    PSEUDORCA,
    TRAIT_NAMES,
    Species,
    Trait,
    draw_virtual_species,
    population,
)
from pseudorca.simulation.world import World, draw_world

__all__ = [
    "KINDS",
    "POPULATIONS",
    "PSEUDORCA",
    "RECORDERS",
    "TRAIT_NAMES",
    "ClipTruth",
    "Group",
    "Recorder",
    "Signal",
    "SimulateResult",
    "Species",
    "SurveyConfig",
    "Trait",
    "World",
    "draw_group",
    "draw_recorder",
    "draw_scene",
    "draw_virtual_species",
    "draw_world",
    "population",
    "record_scene",
    "recorder",
    "simulate_clip",
    "simulate_survey",
]
