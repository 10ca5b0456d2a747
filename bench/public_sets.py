"""Other people's labelled texts, read from clones of their repositories: who wrote what. Knows no detector.

The folder holds clones of baoguangsheng/fast-detect-gpt, Weixin-Liang/ChatGPT-Detector-Bias,
Ruohong457/Detecting-Machine-Generated-Text-Across-Granularity-Domains-and-LLMs, lechmazur/debate,
scrosseye/ELLIPSE-Corpus, NLP2CT/DetectRL, hyunseoklee-ai/ReMoDetect and ryuryukke/OUTFOX. Needs openpyxl besides
(AGT-2025 is in spreadsheets).
"""

import csv
import io
import json
import pickletools
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provenance.seeds import stream

HUMAN = "human"
NATIVE = ("HewlettStudentEssay", "CollegeEssay", "CS224N")
"""Essays of eighth graders, applicants to college and students of a course, all in the United States."""
DEBATES = 1000
# Printed in its README.
_ELLIPSE_PASSWORD = b"ellipse_test"
OUTFOX_MODELS = ("chatgpt", "text_davinci_003", "flan_t5_xxl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One text and what is known of who wrote it."""

    corpus: str
    kind: str
    generator: str
    text: str
    writers: tuple[str, ...] = ()


def fast_detect_gpt(folder: Path) -> Iterator[Row]:
    """News, stories and biomedical answers, continued by GPT-3, 3.5 and 4 (MIT)."""
    for path in sorted((folder / "fast-detect-gpt" / "exp_gpt3to4" / "data").glob("*.raw_data.json")):
        yield from _pairs("fast-detect-gpt", path, path.name.removesuffix(".raw_data.json").partition("_")[2])


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


def remodetect(folder: Path) -> Iterator[Row]:
    """News, stories and biomedical answers by Claude 3 Opus, GPT-4 Turbo and Llama 3 70B."""
    data = folder / "ReMoDetect" / "exp" / "data"
    for generator in ("claude", "gpt4turbo", "llama"):
        for path in sorted(data.glob(f"*_{generator}.raw_data.json")):
            yield from _pairs("remodetect", path, generator)


def detect_rl(folder: Path) -> Iterator[Row]:
    """Abstracts, news, stories and reviews, human and by four models of 2023."""
    for row, domain in _detect_rl(folder, "Direct_Prompt/direct_prompt_test.json"):
        generator = HUMAN if row["label"] == "human" else row["llm_type"]
        yield Row(corpus="detect-rl", kind=domain, generator=generator, text=row["text"])


def detect_rl_paraphrased(folder: Path, how: str) -> list[str]:
    """What `detect_rl` gives of the models, in that order, rewritten: how is "polish" or "back_translation"."""
    file = f"Paraphrase_Attacks/paraphrase_{how}_llm_test.json"
    return [row["text"] for row, _ in _detect_rl(folder, file) if row["label"] != "human"]


def _detect_rl(folder: Path, file: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Rows with their domains: texts of models follow the human ones of their domain."""
    path = folder / "DetectRL" / "Benchmark" / "Benchmark_Data" / file
    domain = ""
    for row in json.loads(path.read_text(encoding="utf-8")):
        domain = row["data_type"] if row["label"] == "human" else domain
        yield row, domain


def outfox(folder: Path) -> Iterator[Row]:
    """Essays of US pupils and of three models on the same questions (Apache-2.0)."""
    for part in ("valid", "test"):
        for generator in (HUMAN, *OUTFOX_MODELS):
            for text in outfox_essays(folder, part, generator):
                yield Row(corpus="outfox", kind="essays", generator=generator, text=text)


def outfox_essays(folder: Path, part: str, generator: str) -> list[str]:
    """500 essays; those of every writer answer the same questions in the same order."""
    name = f"common/{part}/{part}_humans.pkl" if generator == HUMAN else f"{generator}/{part}/{part}_lms.pkl"
    return _strings(folder / "OUTFOX" / "data" / name)


def outfox_paraphrased(folder: Path, generator: str) -> list[str]:
    """Its essays of the part "test", rewritten by DIPPER."""
    return _strings(folder / "OUTFOX" / "data" / "dipper" / generator / "test_attacks.pkl")


def _strings(path: Path) -> list[str]:
    """The strings of a pickled list of strings, without running the pickle."""
    operations = pickletools.genops(path.read_bytes())
    return [value for code, value, _ in operations if "UNICODE" in code.name]


def _pairs(corpus: str, path: Path, generator: str) -> Iterator[Row]:
    """A file in the form of Fast-DetectGPT's: human originals and their continuations."""
    kind = path.name.partition("_")[0]
    pairs = json.loads(path.read_text(encoding="utf-8"))
    for written, who in ((pairs["original"], HUMAN), (pairs["sampled"], generator)):
        for text in written:
            answer = re.sub(r"^Question:.*?Answer:", "", text) if kind == "pubmed" else text
            yield Row(corpus=corpus, kind=kind, generator=who, text=answer)
