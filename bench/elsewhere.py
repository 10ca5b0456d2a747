"""The shipped detector on other people's labelled texts, of which it learned nothing: ranking, shares, who is flagged.

Usage: python bench/elsewhere.py FOLDER, with the clones that public_sets.py names; PROVENANCE_BENCH_DATA as for
detect.py. Writes bench/results/elsewhere.json. First 220 words of every text; texts that the development set has too
are left out. Settings were picked on held-out domains, with these sets in view; no choice about the detector leaned on
DetectRL, ReMoDetect and OUTFOX.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from detect import read_dev
from local_labels import error_after_labels, realised_rates
from machine import machine, write_result
from numpy.typing import NDArray
from public_sets import (
    HUMAN,
    NATIVE,
    OUTFOX_MODELS,
    Row,
    agt_2025,
    debates,
    detect_rl,
    detector_bias,
    ellipse,
    fast_detect_gpt,
    outfox,
    remodetect,
)
from shares import CORPUS, SHARES, TRIALS, reference_elsewhere, share_figures

from provenance.detectors.registry import OutputRegistry
from provenance.seeds import stream
from provenance.tagging.metrics import clopper_pearson, quality
from provenance.tagging.prevalence import estimate_share
from provenance.tagging.reading import Reading
from provenance.tagging.stored import open_detector

WORDS = 220
NOT_CHAT = ("davinci", "flan_t5_xxl")
SAME_TEXT = 0.3
"""Share of the 4-word sequences that a text has in common with one it is a copy of."""


def main() -> None:
    """Score everything, write rankings and false positives."""
    folder = Path(sys.argv[1])
    readers = (fast_detect_gpt, detector_bias, agt_2025, debates, ellipse, detect_rl, remodetect, outfox)
    found = {(row.corpus, row.generator, row.text[:400]): row for read in readers for row in read(folder)}
    development = OutputRegistry().register(read_dev(Path(os.environ["PROVENANCE_BENCH_DATA"])).texts)
    known = [match.containment >= SAME_TEXT for match in development.lookup([row.text for row in found.values()])]
    rows = [row for row, out in zip(found.values(), known, strict=True) if not out]
    opened = open_detector(None, "stack")
    detector, reading = opened.detector, opened.reading
    assert reading is not None
    scores = detector.score([" ".join(row.text.split(" ")[:WORDS]) for row in rows])
    learners = scores[[row.corpus == "ellipse" for row in rows]]
    result = {
        "machine": machine(),
        "detector": detector.version,
        "left_out_as_learned_from": sum(known),
        "ranking": ranking(rows, scores),
        "shares": shares(rows, scores, reading),
        "writers": writers(rows, scores),
        "learners_with_200_of_their_own": realised_rates(learners[np.isfinite(learners)], np.empty(0), "ellipse"),
    }
    print(json.dumps(result, indent=1))
    write_result("elsewhere", result)


def ranking(rows: list[Row], scores: NDArray[np.float64]) -> dict[str, dict[str, Any]]:
    """AUROC and TPR of each set, and of what is pooled from several; base models (davinci) apart."""
    corpus, kind, generator = (
        np.array([getattr(row, name) for row in rows]) for name in ("corpus", "kind", "generator")
    )
    human, chat = generator == HUMAN, ~np.isin(generator, (HUMAN, "davinci"))
    fast, remo, rl = (corpus == name for name in ("fast-detect-gpt", "remodetect", "detect-rl"))
    essays = np.isin(kind, (*NATIVE, "TOEFL"))
    slices: dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]] = {}
    for name in ("xsum", "writing", "pubmed"):
        slices[f"Fast-DetectGPT: {name}"] = (human & fast & (kind == name), chat & fast & (kind == name))
    pooled = np.isin(kind, ("xsum", "writing"))
    slices["Fast-DetectGPT: xsum and writing"] = (human & fast & pooled, chat & fast & pooled)
    slices["Fast-DetectGPT: all"] = (human & fast, chat & fast)
    slices["Fast-DetectGPT: davinci (base)"] = (human & fast, generator == "davinci")
    slices["ReMoDetect: xsum and writing"] = (human & remo & pooled, chat & remo & pooled)
    slices["ReMoDetect: pubmed"] = (human & remo & ~pooled, chat & remo & ~pooled)
    for name in ("abstract", "document", "story", "content"):
        slices[f"DetectRL: {name}"] = (human & rl & (kind == name), chat & rl & (kind == name))
    slices["DetectRL: all"] = (human & rl, chat & rl)
    for name in OUTFOX_MODELS:
        slices[f"OUTFOX essays: {name}"] = (human & (kind == "essays"), (kind == "essays") & (generator == name))
    for name in ("CS224N", "CollegeEssay"):
        slices[f"Liang et al.: {name}"] = (human & (kind == name), chat & (kind == name))
    for name in ("from M4GT", "from HC3"):
        slices[f"AGT-2025 {name}"] = (human & (kind == name), chat & (kind == name))
        for model in ("GPT4.5", "DeepSeek R1"):
            slices[f"AGT-2025 {name}: {model}"] = (human & (kind == name), (kind == name) & (generator == model))
    slices["AGT-2025: both"] = (human & (corpus == "agt-2025"), chat & (corpus == "agt-2025"))
    slices["debates of 2026 against essays"] = (human & essays, corpus == "debate")
    found: dict[str, dict[str, Any]] = {}
    for name, (humans, models) in slices.items():
        chosen = humans | models
        one = quality(scores[chosen], models[chosen], name=name)
        found[name] = {"humans": one.num_human, "models": one.num_model}
        for label, interval in (("auroc", one.auroc), *((f"tpr_at_{r:g}", one.tpr_at[r]) for r in (0.05, 0.01))):
            found[name][label] = interval and [round(x, 3) for x in (interval.value, interval.low, interval.high)]
    return found


def shares(rows: list[Row], scores: NDArray[np.float64], reading: Reading) -> dict[str, dict[str, Any]]:
    """Shares 0 to 1 with 200 humans known, in corpora of as many texts as humans are left, `CORPUS` at most.

    Base models (davinci) and Flan-T5 are left out. Also the calibration error after 20 + 20 labels.
    """
    reference = reference_elsewhere(reading)
    sets = {
        "Fast-DetectGPT: xsum and writing": ("fast-detect-gpt", "xsum", "writing"),
        "ReMoDetect: xsum and writing": ("remodetect", "xsum", "writing"),
        "DetectRL: all": ("detect-rl", "abstract", "document", "story", "content"),
        "OUTFOX essays": ("outfox", "essays"),
        "AGT-2025 from M4GT": ("agt-2025", "from M4GT"),
        "AGT-2025 from HC3": ("agt-2025", "from HC3"),
    }
    found: dict[str, dict[str, Any]] = {}
    for name, (corpus, *kinds) in sets.items():
        chosen = [row.corpus == corpus and row.kind in kinds and row.generator not in NOT_CHAT for row in rows]
        inside = np.array(chosen) & np.isfinite(scores)
        human = np.array([row.generator == HUMAN for row in rows])
        humans, others = scores[inside & human], scores[inside & ~human]
        trials = []
        for share in SHARES:
            for trial in range(TRIALS):
                rng = stream(trial, "elsewhere", name, str(share))
                own, models = rng.permutation(humans), rng.permutation(others)
                known, unknown = own[:200], own[200:][:CORPUS]
                count = round(len(unknown) * share)
                mixed = np.r_[models[:count], unknown[: len(unknown) - count]]
                trials.append((name, share, "all", estimate_share(mixed, known, reference, seed=trial)))
        labelled = error_after_labels(humans, others, reading, name)
        found[name] = {
            "known": 200,
            "corpus": len(unknown),
            **share_figures(trials),
            "calibration_error": labelled["error"],
            "by_chance": labelled["by_chance"],
        }
    return found


def writers(rows: list[Row], scores: NDArray[np.float64]) -> dict[str, dict[str, Any]]:
    """False positives by group of writers, at thresholds that flag 5 and 1 % of the native essays."""
    native = scores[[row.kind in NATIVE and row.generator == HUMAN for row in rows]]
    found: dict[str, dict[str, Any]] = {}
    for rate in (0.05, 0.01):
        threshold = np.nanquantile(native, 1 - rate, method="higher")
        for group in sorted({group for row in rows for group in row.writers}):
            own = scores[[group in row.writers for row in rows]]
            own = own[np.isfinite(own)]
            flagged = int((own > threshold).sum())
            low, high = clopper_pearson(flagged, len(own))
            found.setdefault(group, {"texts": len(own)})[f"fpr_at_{rate:g}"] = [
                round(x, 4) for x in (flagged / max(len(own), 1), low, high)
            ]
    return found


if __name__ == "__main__":
    main()
