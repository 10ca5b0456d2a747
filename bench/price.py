"""The price of lost provenance: what the sweeps of a catalog say, beside their closed form where there is one.

    provenance experiment run price-gaussian     # and price-categorical, price-ngram, in one catalog
    python bench/price.py CATALOG

Reads the catalog and writes bench/results/price.json: for every policy and setting the smallest share of verified human
data that is enough, with its 95 % band; for the Gaussian and the categorical world also how far the last generation's
variance lies from theory.web in standard errors, over all runs the law holds for (enough passes the detector, and
only this generation's web is drawn from).
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine, write_result

from provenance.catalog.experiments import experiment_config, members
from provenance.catalog.outcomes import last_values
from provenance.catalog.store import Catalog
from provenance.recursion.in_catalog import named_experiments
from provenance.recursion.priced import price_of
from provenance.recursion.theory.web import Web, drift, smallest_verified

FAMILIES = ("price-gaussian", "price-categorical", "price-ngram")
LAWS = {"gaussian": "squared_mean_error", "categorical": "sum_p2"}
"""The metric of each world that theory.web gives exactly."""
OF_THIS_WEB = ("unfiltered", "detected")


def web_of(config: dict[str, Any], policy: str, point: dict[str, Any]) -> Web:
    """The closed form's settings for one run."""
    blind = policy == "unfiltered"
    return Web(
        budget=config["budget"]["documents"],
        verified=point.get("verified", 0),
        arrivals=point["arrivals"],
        writes=config["writes"],
        true_positive_rate=0.0 if blind else point["tpr"],
        false_positive_rate=0.0 if blind else point["fpr"],
    )


def enough_passes(web: Web) -> bool:
    """Whether no replica is likely to run short, which would repeat samples."""
    kept = web.arrivals * (1 - web.false_positive_rate) + web.writes * (1 - web.true_positive_rate)
    return kept - 5 * np.sqrt(kept) > web.budget - web.verified


def against_theory(catalog: Catalog, family: str, config: dict[str, Any]) -> dict[str, Any] | None:
    """Standard errors between simulation and closed form, over all runs of the family."""
    metric = LAWS.get(config["world"])
    if metric is None:
        return None
    base, scale = 0.0, 1.0
    if metric == "sum_p2":
        p = np.arange(1, config["model"]["states"] + 1) ** -1.0
        base = float(((p / p.sum()) ** 2).sum())
        scale = 1.0 - base
    errors = []
    for point, policy, _, value, stderr in last_values(catalog, family, metric):
        if policy in OF_THIS_WEB and stderr and enough_passes(web := web_of(config, policy, point)):
            errors.append((value - base - scale * drift(config["generations"] + 1, web)) / stderr)
    return {
        "metric": metric,
        "runs": len(errors),
        "mean_standard_errors": float(np.mean(errors)),
        "rms_standard_errors": float(np.sqrt(np.mean(np.square(errors)))),
        "largest": float(np.max(np.abs(errors))),
    }


def closed_form(config: dict[str, Any], policy: str, setting: dict[str, Any], level: float) -> float | None:
    """The Gaussian price by theory: E W2^2 is three halves of the drift to first order. A share of the training set."""
    if config["world"] != "gaussian" or policy not in OF_THIS_WEB:
        return None
    share = setting["model_share"]
    arrivals = round(config["writes"] * (1 - share) / share)
    web = web_of(config, policy, {**setting, "arrivals": arrivals})
    return smallest_verified(config["generations"] + 1, web, level / 1.5) / web.budget if enough_passes(web) else None


def main(folder: Path) -> None:
    """Read every family and write the result."""
    catalog = Catalog.find(folder)
    result: dict[str, Any] = {}
    for family in FAMILIES:
        config = experiment_config(catalog, members(catalog, family)[0])
        recipe = named_experiments(family)[0][0]  # another level needs no other runs: the recipe says which
        priced = price_of(catalog, family, recipe.price.level if recipe.price else None)
        cells = [
            {
                "policy": point.policy, **point.setting, "smallest": point.smallest, "low": point.low,
                "high": point.high, "closed_form": closed_form(config, point.policy, dict(point.setting), priced.level),
            }
            for point in priced.points
        ]  # fmt: skip
        result[family] = {
            "world": config["world"],
            "generations": config["generations"],
            "budget": priced.budget,
            "metric": priced.metric,
            "level": priced.level,
            "control": priced.control,
            "largest_share_tried": priced.largest,
            "theory": against_theory(catalog, family, config),
            "cells": cells,
        }
        print(family, {key: value for key, value in result[family].items() if key != "cells"})
        for cell in cells:
            print(" ", cell)
    write_result("price", {"machine": machine(), **result})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
