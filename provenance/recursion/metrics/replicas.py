"""Measures of one replica made measures of many. For worlds that hand out a list with one entry per replica."""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

import numpy as np


def per_replica(measure: Callable[..., Any]) -> Callable[..., Any]:
    """`measure` applied to each replica's arguments: an array over replicas, or one per subgroup."""

    @wraps(measure)
    def measured(*arguments: Sequence[Any]) -> Any:
        found = [measure(*each) for each in zip(*arguments, strict=True)]
        if not isinstance(found[0], Mapping):
            return np.array(found)
        names = sorted(set().union(*found))
        return {name: np.array([each.get(name, np.nan) for each in found]) for name in names}

    return measured
