"""A show, as the page writes it to a file: one snapshot of two prompts, and a cue for it."""

from typing import Any


def look(text: str = "pencil", **changes: Any) -> dict[str, Any]:
    return {
        "mix": {
            "rows": [
                {"text": text, "weight": 0.5, "side": "A"},
                {"text": "neon", "weight": 1, "side": "B"},
            ],
            "fade": 0.25,
        },
        "change": {"over_s": 2, "method": "slerp"},
        "strength": 0.2,
        "steps": 2,
        "seed": 7,
        "motion": True,
    } | changes


def show() -> dict[str, Any]:
    return {
        "kind": "slipstream show",
        "version": 1,
        "snapshots": [{"number": 3, "name": "opening", "look": look()}],
        "cueList": {"cues": [{"snapshot": 3, "over_s": 1, "hold_s": None}], "repeats": False},
    }
