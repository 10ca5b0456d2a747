"""Texts from public git repositories for the shipped detector: answers and stories of some 250 models, human prose.

Each function takes the folder of a clone, or of clones, and gives rows (text, domain, generator or "human"). Cloned
were tatsu-lab/alpaca_eval (cd543a1), EQ-bench/longform-writing-bench (d1c6255), allenai/scitldr (5ccad9c),
nishkalavallabhi/OneStopEnglishCorpus (37f8db3), abachaa/MedQuAD (577bd37), nltk/nltk_data (5db857e), rust-lang/rfcs
(354518a), Yoav-Shafir/Elasticsearch-Coffee-Search-Engine-JS (97e93c9), kevswanberg/beer_tentrr (9573647),
GonzaloHirsch/TP-XML (a11ea4a) and purudpd/RecSys-QA (e7fb8f3). Public benchmarks of detection are left out on purpose:
`bench/elsewhere.py` measures on them, so nothing may be learned from them.
"""

import html
import json
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

from provenance.seeds import stream

Row = tuple[str, str, str]
"""(text, domain, generator or "human")"""
HUMAN = "human"
ANSWERS_PER_MODEL, STORY_PIECES_PER_MODEL, PIECES_PER_ARTICLE, PIECES_PER_FILE = 40, 30, 2, 12
MEDICAL_ANSWERS, FORUM_ANSWERS, PROPOSALS, CS_ABSTRACTS = 900, 900, 600, 900
WORDS = 220
# Asked to be short or long, made to win without answering, or too weak to write prose.
_NO_ANSWERS = re.compile(
    r"NullModel|gamed|concise|verbose|best-of-\d+$|text_davinci_001|phi-2$|baize|falcon-7b|pythia|opencoder|airoboros"
    r"|platolm|minichat-3b|cut-13b|recycled|alpaca-7b$"
)
# A cell of the training each; the first that fits counts.
_FAMILIES = {
    "claude-3-5|gpt-4o": "frontier-2024", "claude": "claude", "gpt-?4": "gpt-4", "gpt-?3|davinci": "gpt-3",
    "gemma|gemini": "google", "qwen": "qwen", "mistral|mixtral|zephyr|storm|starling|sppo-m": "mistral",
    "llama-?3|rebel|l3": "llama-3",
    "llama|vicuna|wizard|tulu|xwin|guanaco|openchat|ultralm|nous|minotaur|openbuddy|humpback|oasst|alpaca": "llama",
}  # fmt: skip
# Dumps of Stack Exchange sites of 2015 to 2018: coffee, beer, and how the history site is run.
_FORUMS = ("Elasticsearch-Coffee-Search-Engine-JS", "beer_tentrr", "TP-XML")
_LAST_PROPOSAL = 3216
"""Of January 2022."""
_LEVELS = ("Elementary", "Intermediate", "Advanced")
# The genres of MASC that are neither fiction nor speech.
_MASC = {
    "blog": "web", "jokes": "web", "ficlets": "fiction", "fiction": "fiction", "letters": "letters",
    **dict.fromkeys(("govt-docs", "technical", "journal", "non-fiction", "newspaper", "newspaper:newswire", "essays",
                     "travel-guides"), "formal"),
}  # fmt: skip


def public_texts(repositories: Path) -> list[Row]:
    """Everything below `repositories`, a folder with a clone of each."""
    return [
        *answers(repositories / "alpaca_eval"),
        *stories(repositories / "longform-writing-bench"),
        *learner_news(repositories / "OneStopEnglishCorpus"),
        *medical_answers(repositories / "MedQuAD"),
        *masc(repositories / "nltk_data"),
        *forum_answers(repositories),
        *skeptics(repositories / "RecSys-QA"),
        *proposals(repositories / "rfcs"),
        *cs_abstracts(repositories / "scitldr"),
    ]


def answers(clone: Path) -> list[Row]:
    """Answers of chat models of 2023 to 2025 to the instructions of AlpacaEval: prose of 60 words and more, no code."""
    rows = []
    for path in sorted(clone.glob("results/*/model_outputs.json")):
        model = path.parent.name
        if _NO_ANSWERS.search(model):
            continue
        written = [row["output"] for row in json.loads(path.read_text(encoding="utf-8"))]
        fit = [text for text in written if isinstance(text, str) and _is_prose(text)]
        family = next((name for part, name in _FAMILIES.items() if re.search(part, model.lower())), "other")
        rows += [(_cut(text), "answers", family) for text in _some(fit, ANSWERS_PER_MODEL, model)]
    return rows


def stories(clone: Path) -> list[Row]:
    """Pieces of long stories that models wrote by May 2025."""
    rows = []
    for path in sorted(clone.glob("results/*_longform_report.html")):
        found = re.findall(r'<div class="response-content">(.*?)</div>', path.read_text(encoding="utf-8"), re.DOTALL)
        written = [html.unescape(re.sub(r"<[^>]+>", "", part)) for part in found]
        pieces = [piece for text in written for piece in pieces_of(text.split("\n"), 120)]
        rows += [(piece, "stories", "stories-2025") for piece in _some(pieces, STORY_PIECES_PER_MODEL, path.name)]
    return rows


def learner_news(clone: Path) -> list[Row]:
    """News rewritten by teachers for learners of English, at three levels."""
    rows = []
    for path in sorted(clone.glob("Texts-SeparatedByReadingLevel/*/*.txt")):
        lines = [line for line in _read(path).split("\n") if line.strip() not in _LEVELS]
        rows += [(p, "learner_news", HUMAN) for p in _some(pieces_of(lines, 90), PIECES_PER_ARTICLE, path.name)]
    return rows


def medical_answers(clone: Path) -> list[Row]:
    """Answers to patients' questions from pages of the National Institutes of Health."""
    found: dict[str, str] = {}
    for path in sorted(clone.glob("*_QA*/*.xml")):
        found_here = re.findall(r"<Answer>(.*?)</Answer>", _read(path), re.DOTALL)
        written = [" ".join(html.unescape(text).split()) for text in found_here]
        for text in _some([text for text in written if len(text.split()) >= 60], 1, path.name):
            found.setdefault(text[:60], _cut(text))
    return [(text, "medical_answers", HUMAN) for text in _some(list(found.values()), MEDICAL_ANSWERS, "medical")]


def masc(clone: Path) -> list[Row]:
    """Pieces of the Manually Annotated Sub-Corpus, without its word classes."""
    rows = []
    with zipfile.ZipFile(clone / "packages" / "corpora" / "masc_tagged.zip") as packed:
        listed = packed.read("masc_tagged/categories.txt").decode().split("\n")
        for name, genre in sorted(line.split(" ") for line in listed if line):
            if genre in ("twitter", "spam", "email"):
                continue
            tagged = packed.read(f"masc_tagged/{name}").decode("utf-8", "replace").split("\n")
            lines = [" ".join(_untagged(token) for token in line.split()) for line in tagged if len(line.split()) > 3]
            size = int(stream(0, "masc", name).integers(60, 200))
            domain = f"masc_{_MASC.get(genre, 'spoken')}"
            rows += [(piece, domain, HUMAN) for piece in _some(pieces_of(lines, size), PIECES_PER_FILE, name)]
    return rows


def forum_answers(repositories: Path) -> list[Row]:
    """What people answered on three Stack Exchange sites."""
    written = []
    for name in _FORUMS:
        for line in _read(repositories / name / "Posts.xml").split("\n"):
            body = re.search(r' PostTypeId="2" .*? Body="([^"]*)"', line)
            if body:
                plain = re.sub(r"<pre>.*?</pre>|<[^>]+>", "", html.unescape(body[1]), flags=re.DOTALL)
                written.append(html.unescape(plain))
    long = [text for text in written if len(text.split()) >= 60]
    return [(_cut(text), "forum_answers", HUMAN) for text in _some(long, FORUM_ANSWERS, "forum")]


def skeptics(clone: Path) -> list[Row]:
    """Answers on a Stack Exchange site about whether claims are true, collected by March 2020."""
    lines = (clone / "web_science_dataset.jsonl").read_text(encoding="utf-8").splitlines()
    long = [text for text in (json.loads(line)["answer"] for line in lines) if len(text.split()) >= 60]
    return [(_cut(text), "skeptic_answers", HUMAN) for text in _some(long, FORUM_ANSWERS, "skeptics")]


def proposals(clone: Path) -> list[Row]:
    """Proposals for the Rust language up to January 2022: what for, how, what speaks against it."""
    pieces = []
    for path in sorted(clone.glob("text/[0-9]*.md")):
        if int(path.name[:4]) <= _LAST_PROPOSAL:
            text = re.sub(r"```.*?```|^\s*[-*#|>[].*?$", "", _read(path), flags=re.DOTALL | re.MULTILINE)
            pieces += _some(pieces_of(re.split(r"\n\s*\n", text), 90), 2, path.name)
    return [(piece, "proposals", HUMAN) for piece in _some(pieces, PROPOSALS, "proposals")]


def cs_abstracts(clone: Path) -> list[Row]:
    """Abstracts of papers in computer science, collected by 2020."""
    lines = [line for path in sorted(clone.glob("SciTLDR-Data/SciTLDR-A/*.jsonl")) for line in _read(path).splitlines()]
    written = [" ".join(json.loads(line)["source"]) for line in lines]
    long = [text for text in written if len(text.split()) >= 60]
    return [(_cut(text), "cs_abstracts", HUMAN) for text in _some(long, CS_ABSTRACTS, "scitldr")]


def _untagged(token: str) -> str:
    word = token.rpartition("_")[0].replace("\\/", "/")
    return {"-LRB-": "(", "-RRB-": ")", "''": '"', "``": '"'}.get(word, word)


def _is_prose(text: str) -> bool:
    if "```" in text or "<|" in text or text.count("|") > 6 or len(text.split()) < 60:
        return False
    return sum(c == " " or (c.isascii() and c.isalpha()) for c in text) >= 0.88 * len(text)


def pieces_of(lines: Iterable[str], least_words: int) -> list[str]:
    """Paragraphs put together until they have `least_words` words; a shorter rest is dropped."""
    pieces: list[str] = []
    current: list[str] = []
    words = 0
    for line in lines:
        if line.strip():
            current.append(line.strip())
            words += len(line.split())
            if words >= least_words:
                pieces.append(_cut("\n\n".join(current)))
                current, words = [], 0
    return pieces


def _some(texts: list[str], count: int, *key: str) -> list[str]:
    chosen = stream(0, "public", *key).permutation(len(texts))[:count]
    return [texts[i] for i in chosen.tolist()]


def _cut(text: str) -> str:
    return " ".join(text.split(" ")[:WORDS])


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8-sig", errors="replace").replace("\r", "")
