"""Trains the detectors that ship: labelled texts and plain human texts in, provenance/detectors/default out.

Usage: train_default_detector.py DATA_FOLDER. DATA_FOLDER is the folder of the benchmarks (PROVENANCE_BENCH_DATA):
detection/dev.jsonl.gz, pile/, text/, wikitext2/. Only weights leave it. The generated texts beside this script are
ours: 104 by the language model that helped write this project (2026), the others by SmolLM2-135M-Instruct.
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

import provenance.detectors
from provenance.detectors.stack import Stack
from provenance.seeds import stream
from provenance.tagging.crossval import Labelled, domain_folds
from provenance.tagging.train import assemble

TARGET = Path(provenance.detectors.__file__).parent / "default"
GENERATED = Path(__file__).parent / "data" / "generated_texts.jsonl.gz"
HUMAN = "human"
# Base models write unlike chat models; more of them would turn the direction away from what is common today.
BASE_TEXTS_PER_MODEL = 20
PILE = {"openstax": 1200, "peps": 500, "gutenberg": 1000, "sotu": 200}
# A story of ours is compared with human stories, a textbook page with human textbooks; the rest with all humans.
MATCHED = {
    "fiction": "creative_story", "dialogue": "creative_story", "abstract": "arxiv_abstract", "review": "yelp_review",
    "wiki": "wikipedia", "x_wiki": "wikipedia", "textbook": "openstax", "qa": "openstax", "x_openstax": "openstax",
    "speech": "sotu", "x_sotu": "sotu", "tech": "peps", "x_peps": "peps", "x_gutenberg": "gutenberg",
    "x_naija": "naija_english",
}  # fmt: skip
LICENCES = {
    "detection/dev": "CC BY-SA 4.0 (BiScope), MIT (Fast-DetectGPT)",
    "pile": "public domain; CC BY 4.0 (OpenStax)",
    "naija_english": "CC BY-SA 4.0 (Naija NSC)",
    "wikipedia": "CC BY-SA 3.0 (WikiText-2)",
    "generated": "own; Apache-2.0 (SmolLM2)",
}
LIMITS = [
    "English prose of 30 words and more; anything else gets no score",
    "trained on chat models of 2023 and 2024 and on 104 texts of one assistant of 2026; others may write unlike them",
    "texts of base models (GPT-2, GPT-J, OPT) on encyclopedic subjects are not told apart (AUROC 0.45)",
    "formal human prose scores higher than casual prose: calibrate on your own domain before flagging anything",
    "paraphrased or edited model text may pass; never accuse a person on a score",
]


def main() -> None:
    """Train stack, stylometry and ngram and write them with their cards."""
    data = read_data(Path(sys.argv[1]))
    about = {"corpora": sorted(set(data.domains)), "licences": LICENCES, "limits": LIMITS}
    held_out = members_held_out(data)
    fitted = Stack().fit(data.texts, data.is_model, data.groups)
    scores = {**held_out, Stack.name: np.mean(list(held_out.values()), axis=0)}
    for detector in (fitted, *fitted.members):
        trained = assemble(detector, data, scores[detector.name], None)
        folder = TARGET / detector.name
        folder.mkdir(parents=True, exist_ok=True)
        trained.save(folder, about)
        for quality in trained.domains_held_out:
            if quality.auroc is not None:
                print(detector.name, quality.slice, quality.num_human, quality.num_model, round(quality.auroc.value, 3))


def members_held_out(data: Labelled) -> dict[str, NDArray[np.float64]]:
    """Scores of each member of the stack on every domain, from a stack that never saw it."""
    folds = domain_folds(data)
    scores: dict[str, NDArray[np.float64]] = {}
    for fold in np.unique(folds):
        inside = np.flatnonzero(folds == fold)
        rest = data.take(np.flatnonzero(folds != fold))
        for member in Stack().fit(rest.texts, rest.is_model, rest.groups).members:
            own = scores.setdefault(member.name, np.full(len(folds), np.nan))
            own[inside] = member.score([data.texts[i] for i in inside.tolist()])
    return scores


def read_data(root: Path) -> Labelled:
    """Every text with its label, domain and generator."""
    rows = [*dev(root), *pile(root), *naija(root), *wikitext(root), *generated()]
    return Labelled(
        texts=[row[0] for row in rows],
        is_model=np.array([row[2] != HUMAN for row in rows]),
        domains=[row[1] for row in rows],
        generators=["" if row[2] == HUMAN else row[2] for row in rows],
    )


Row = tuple[str, str, str]
"""(text, domain, generator or "human")"""


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


def generated() -> list[Row]:
    """Model texts that this project made."""
    with gzip.open(GENERATED, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [(row["text"], MATCHED.get(row["domain"], row["domain"]), row["generator"]) for row in rows]


def paragraphs(text: str) -> list[str]:
    """Running text in pieces of at least 60 and at most 220 words."""
    parts = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text)]
    pieces, current = [], ""
    for part in parts:
        if len(part.split()) < 8:
            continue
        current = f"{current}\n\n{part}" if current else part
        if len(current.split()) >= 60:
            pieces.append(" ".join(current.split(" ")[:220]))
            current = ""
    return pieces


if __name__ == "__main__":
    main()
