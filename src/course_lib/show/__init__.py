"""Figures, tables, diagrams and films in one style that reads on a light and on a dark page."""

from course_lib.show.charts import band, intervals
from course_lib.show.diagrams import KINDS, Diagram, diagram
from course_lib.show.grids import images, latent_map
from course_lib.show.look import (
    CODE,
    COLOURS,
    CRITIC,
    GENERATED,
    GENERATOR,
    HIGHLIGHT,
    PAGES,
    REAL,
    TEXT,
    style,
)
from course_lib.show.players import Player, film, slider
from course_lib.show.tables import Table, table

__all__ = [
    "CODE",
    "COLOURS",
    "CRITIC",
    "GENERATED",
    "GENERATOR",
    "HIGHLIGHT",
    "KINDS",
    "PAGES",
    "REAL",
    "TEXT",
    "Diagram",
    "Player",
    "Table",
    "band",
    "diagram",
    "film",
    "images",
    "intervals",
    "latent_map",
    "slider",
    "style",
    "table",
]
