"""Free-text labels to node classes, for people who have a detector or tagger of their own.

SG-Reg (arXiv 2504.14440, `spec/sgreg.md` §1.2, §1.3) embeds labels with BERT and tells floors by whether a
label is part of a list written as one text, so that an empty label is a floor. We differ: `labels.yaml` lists
what a label means, only whole labels match, and one that is not there becomes UNKNOWN and is named.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from cosense.config import load_yaml
from cosense.messages.scene_graph import NodeClass

TABLE = Path(__file__).with_name("labels.yaml")
_BETWEEN_WORDS = re.compile(r"[\s_\-./,:;'’]+")
_CAPITAL_INSIDE = re.compile(r"(?<=[a-z])(?=[A-Z])")


def normalised(label: str) -> str:
    """Return a label in lower case, with one space between words; "TrafficLight" has two words."""
    return _BETWEEN_WORDS.sub(" ", _CAPITAL_INSIDE.sub(" ", label)).strip().lower()


@cache
def table() -> dict[str, NodeClass]:
    """Return what each known label, normalised, means; read it, do not change it."""
    known: dict[str, NodeClass] = {}
    for name, labels in load_yaml(TABLE).items():
        for label in (*labels, name):
            known[label] = NodeClass[name.upper()]
    return known


def classes_of(labels: Iterable[str]) -> tuple[list[NodeClass], Counter[str]]:
    """Return the class of each label, UNKNOWN where nobody knows it, and how often each such label came."""
    classes, strange = [], Counter[str]()
    for label in labels:
        found = table().get(normalised(label))
        classes.append(NodeClass.UNKNOWN if found is None else found)
        if found is None:
            strange[label] += 1
    return classes, strange
