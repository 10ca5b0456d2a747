"""The shipped detector on other people's labelled texts, of which it learned nothing: ranking, shares, who is flagged.

Usage: python bench/elsewhere.py FOLDER, where FOLDER holds clones of baoguangsheng/fast-detect-gpt,
Weixin-Liang/ChatGPT-Detector-Bias, Ruohong457/Detecting-Machine-Generated-Text-Across-Granularity-Domains-and-LLMs,
lechmazur/debate and scrosseye/ELLIPSE-Corpus. Needs openpyxl besides (AGT-2025 is in spreadsheets). Writes
bench/results/elsewhere.json. First 220 words of every text. Settings were picked on held-out
domains, with these in view.
"""

import csv
import io
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from detect import SHARES, TRIALS, error_after_labels, realised_rates, reference_elsewhere, share_figures
from machine import machine, write_result
from numpy.typing import NDArray

from provenance.seeds import stream
from provenance.tagging.metrics import clopper_pearson, quality
from provenance.tagging.prevalence import estimate_share
from provenance.tagging.reading import Reading
from provenance.tagging.stored import open_detector

HUMAN = "human"
NATIVE = ("HewlettStudentEssay", "CollegeEssay", "CS224N")
"""Essays of eighth graders, applicants to college and students of a course, all in the United States."""
DEBATES = 1000
WORDS = 220
# Printed in its README.
_ELLIPSE_PASSWORD = b"ellipse_test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One text and what is known of who wrote it."""

    corpus: str
    kind: str
    generator: str
    text: str
    writers: tuple[str, ...] = ()


def main() -> None:
    """Score everything, write rankings and false positives."""
    folder = Path(sys.argv[1])
    readers = (fast_detect_gpt, detector_bias, agt_2025, debates, ellipse)
    rows = list({(row.corpus, row.generator, row.text[:400]): row for read in readers for row in read(folder)}.values())
    opened = open_detector(None, "stack")
    detector, reading = opened.detector, opened.reading
    assert reading is not None
    scores = detector.score([" ".join(row.text.split(" ")[:WORDS]) for row in rows])
    learners = scores[[row.corpus == "ellipse" for row in rows]]
    result = {
        "machine": machine(),
        "detector": detector.version,
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
    essays = np.isin(kind, (*NATIVE, "TOEFL"))
    slices: dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]] = {}
    for name in ("xsum", "writing", "pubmed"):
        slices[f"Fast-DetectGPT: {name}"] = (human & (kind == name), chat & (kind == name))
    pooled = np.isin(kind, ("xsum", "writing"))
    slices["Fast-DetectGPT: xsum and writing"] = (human & pooled, chat & pooled)
    slices["Fast-DetectGPT: all"] = (human & (corpus == "fast-detect-gpt"), chat & (corpus == "fast-detect-gpt"))
    slices["Fast-DetectGPT: davinci (base)"] = (human & (corpus == "fast-detect-gpt"), generator == "davinci")
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
    """Shares 0 to 1 with 200 humans known, in corpora of as many texts as humans are left; base models left out.

    Also the calibration error after 20 + 20 labels.
    """
    reference = reference_elsewhere(reading)
    sets = {
        "Fast-DetectGPT: xsum and writing": ("xsum", "writing"),
        "AGT-2025 from M4GT": ("from M4GT",),
        "AGT-2025 from HC3": ("from HC3",),
    }
    found: dict[str, dict[str, Any]] = {}
    for name, kinds in sets.items():
        inside = np.array([row.kind in kinds and row.generator != "davinci" for row in rows]) & np.isfinite(scores)
        human = np.array([row.generator == HUMAN for row in rows])
        humans, others = scores[inside & human], scores[inside & ~human]
        trials = []
        for share in SHARES:
            for trial in range(TRIALS):
                rng = stream(trial, "elsewhere", name, str(share))
                own, models = rng.permutation(humans), rng.permutation(others)
                known, unknown = own[:200], own[200:]
                count = round(len(unknown) * share)
                corpus = np.r_[models[:count], unknown[: len(unknown) - count]]
                trials.append((name, share, "all", estimate_share(corpus, known, reference, seed=trial)))
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


def fast_detect_gpt(folder: Path) -> Iterator[Row]:
    """News, stories and biomedical answers, continued by GPT-3, 3.5 and 4 (MIT)."""
    for path in sorted((folder / "fast-detect-gpt" / "exp_gpt3to4" / "data").glob("*.raw_data.json")):
        kind, _, generator = path.name.removesuffix(".raw_data.json").partition("_")
        pairs = json.loads(path.read_text(encoding="utf-8"))
        for written, who in ((pairs["original"], HUMAN), (pairs["sampled"], generator)):
            for text in written:
                answer = re.sub(r"^Question:.*?Answer:", "", text) if kind == "pubmed" else text
                yield Row(corpus="fast-detect-gpt", kind=kind, generator=who, text=answer)


def detector_bias(folder: Path) -> Iterator[Row]:
    """Essays of native and non-native writers, and GPT-3.5's, prompted plainly and to be literary (MIT)."""
    for path in sorted((folder / "ChatGPT-Detector-Bias" / "Data_and_Results").glob("*/*/data.json")):
        kind, generator, _ = path.parent.name.split("_")
        own = generator == "real"
        writer = "native" if kind in NATIVE else "TOEFL"
        for row in json.loads(path.read_text(encoding="utf-8")):
            yield Row(
                corpus="liang", kind=kind, generator=HUMAN if own else generator, text=row["document"],
                writers=(writer, *((kind,) if writer == "native" else ())) if own else (),
            )  # fmt: skip


def agt_2025(folder: Path) -> Iterator[Row]:
    """GPT-4.5 and DeepSeek R1 beside human texts of M4GT and HC3."""
    from openpyxl import load_workbook

    name = "Detecting-Machine-Generated-Text-Across-Granularity-Domains-and-LLMs"
    data = folder / name / "data" / "agt-2025"
    for row in json.loads((data / "M4GT_english_human_sample.json").read_text(encoding="utf-8")):
        yield Row(corpus="agt-2025", kind="from M4GT", generator=HUMAN, text=row["text"])
    with (data / "hc3_en_human_sample.csv").open(encoding="utf-8", newline="") as lines:
        for cells in list(csv.reader(lines))[1:]:
            yield Row(corpus="agt-2025", kind="from HC3", generator=HUMAN, text=cells[2])
    for kind in ("M4GT", "HC3"):
        sheet = load_workbook(data / f"AGT2025_from{kind}_english_GPT4.5&DSR1.xlsx", read_only=True).active
        head, *body = sheet.iter_rows(values_only=True)
        text, model = (1, 2) if kind == "M4GT" else (head.index("answer"), len(head) - 1)
        for cells in body:
            if cells[text]:
                yield Row(corpus="agt-2025", kind=f"from {kind}", generator=str(cells[model]), text=str(cells[text]))


def debates(folder: Path) -> Iterator[Row]:
    """Openings of debates between models of 2025 and 2026."""
    paths = sorted((folder / "debate" / "transcripts").glob("*.md"))
    rng = stream(0, "debates")
    for i in rng.permutation(len(paths))[:DEBATES].tolist():
        turn = re.split(r"\n## Turn \d+: ", paths[i].read_text(encoding="utf-8"))[1 + int(rng.integers(2))]
        generator = re.search(r"- model: (\S+)", turn)
        text = re.sub(r"\[[PC]\d+\.\d+\] ?", "", turn.split("\n\n", 2)[2])
        yield Row(corpus="debate", kind="debate", generator=generator[1] if generator else "?", text=text)


def ellipse(folder: Path) -> Iterator[Row]:
    """Essays of English learners, grades 8 to 12, with who they are (CC BY-NC-SA 4.0)."""
    with zipfile.ZipFile(folder / "ELLIPSE-Corpus" / "ELLIPSE_Final_github_test.zip") as packed:
        written = packed.read(packed.namelist()[0], pwd=_ELLIPSE_PASSWORD).decode("utf-8")
    for row in csv.DictReader(io.StringIO(written)):
        groups = (
            row["gender"],
            row["race_ethnicity"],
            row["SES"],
            f"proficiency {max(2, min(4, int(float(row['Overall']))))} of 5",
        )
        yield Row(
            corpus="ellipse", kind="ellipse", generator=HUMAN, text=row["full_text"],
            writers=("ELLIPSE", *(f"ELLIPSE: {group}" for group in groups if group)),
        )  # fmt: skip


if __name__ == "__main__":
    main()
