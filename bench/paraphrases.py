"""Are paraphrases of registered outputs found, and what else is? Rewriting by DIPPER, a chat model and translation.

Usage: python bench/paraphrases.py FOLDER, with the clones of DetectRL and OUTFOX that public_sets.py names. Writes
bench/results/paraphrases.json. Found and false at 1 %; the texts known to be unrelated, and those that false matches
are counted in, are human and answer the same prompts.
"""

import json
import sys
from pathlib import Path

import numpy as np
from machine import machine, write_result
from public_sets import (
    HUMAN,
    OUTFOX_MODELS,
    detect_rl,
    detect_rl_paraphrased,
    outfox_essays,
    outfox_paraphrased,
)

from provenance.detectors.registry import OutputRegistry

LEVEL = 0.01
Figures = dict[str, float]


def main() -> None:
    """Measure and write the result."""
    folder = Path(sys.argv[1])
    found = {**essays(folder), **four_domains(folder)}
    result = {"machine": machine(), "paraphrases": found, "unregistered_model": unregistered(folder)}
    print(json.dumps(result, indent=1))
    write_result("paraphrases", result)


def essays(folder: Path) -> dict[str, Figures]:
    """OUTFOX: essays rewritten by DIPPER, among ever more essays on the same questions."""
    test = {model: outfox_essays(folder, "test", model) for model in OUTFOX_MODELS}
    more = [text for model in OUTFOX_MODELS for text in outfox_essays(folder, "valid", model)]
    three = [text for model in OUTFOX_MODELS for text in test[model]]
    unrelated, others = outfox_essays(folder, "valid", HUMAN), outfox_essays(folder, "test", HUMAN)
    found: dict[str, Figures] = {}
    for model in OUTFOX_MODELS:
        for known in (test[model], three, [*three, *more]):
            registry = OutputRegistry().register(known).measure_chance(unrelated)
            first = 0 if known is test[model] else three.index(test[model][0])
            name = f"essays by {model}, DIPPER, {len(known)} known"
            found[name] = figures(registry, outfox_paraphrased(folder, model), first, others)
    return found


def four_domains(folder: Path) -> dict[str, Figures]:
    """DetectRL: abstracts, news, stories and reviews. Its DIPPER file rewrites other texts than are given, in part."""
    rows = list(detect_rl(folder))
    known = [row.text for row in rows if row.generator != HUMAN]
    humans = [row.text for row in rows if row.generator == HUMAN]
    registry = OutputRegistry().register(known).measure_chance(humans[::2])
    return {
        f"four domains, {how}, {len(known)} known": figures(
            registry, detect_rl_paraphrased(folder, how), 0, humans[1::2]
        )
        for how in ("polish", "back_translation")
    }


def unregistered(folder: Path) -> Figures:
    """How often essays of a model that is not registered match the two others' on the same questions."""
    found: Figures = {}
    unrelated = outfox_essays(folder, "valid", HUMAN)
    for model in OUTFOX_MODELS:
        known = [text for other in OUTFOX_MODELS if other != model for text in outfox_essays(folder, "test", other)]
        registry = OutputRegistry().register(known).measure_chance(unrelated)
        found[model] = matched(registry, outfox_essays(folder, "test", model))
    return found


def figures(registry: OutputRegistry, rewritten: list[str], first: int, others: list[str]) -> Figures:
    """Found: flagged. Traced: the right known text is named; rewritten[i] was made from number first + i."""
    origins = [match.origin for match in registry.lookup(rewritten)]
    return {
        "found": matched(registry, rewritten),
        "traced": round(float(np.mean(np.array(origins) == first + np.arange(len(origins)))), 3),
        "false": matched(registry, others),
    }


def matched(registry: OutputRegistry, texts: list[str]) -> float:
    """Share of texts with a p-value of at most `LEVEL`."""
    return round(float(np.mean([match.p_value <= LEVEL for match in registry.lookup(texts)])), 3)


if __name__ == "__main__":
    main()
