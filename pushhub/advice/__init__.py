"""Advice for a polled API: the routes lines that let its clients wait, from a few responses.

`survey` sends GETs and nothing else. All other modules decide, without I/O, clock or randomness.
"""

from pushhub.advice.observation import Observation, RequestForm, Survey
from pushhub.advice.suggested_line import SuggestedLine
from pushhub.advice.suggestion import Suggestion, suggest
from pushhub.advice.toml_lines import toml_lines

__all__ = [
    "Observation",
    "RequestForm",
    "SuggestedLine",
    "Suggestion",
    "Survey",
    "suggest",
    "toml_lines",
]
