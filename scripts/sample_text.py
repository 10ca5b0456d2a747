"""The human text of the sample and the one form all its texts have: read, clean, cut, keep parts apart.

Knows the layout of the two npm packages; knows no model and no output file.
"""

import bisect
import collections
import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provenance.seeds import stream

SEED = 20261123
PARTS = {"main": 0.46, "web": 0.70, "labelled": 0.90, "heldout": 1.0}
"""Up to which share of the shuffled speeches, and of the chapters, each part reaches."""
MIN_WORDS, MAX_WORDS = 30, 200
SPACES = re.compile(r"\s+")
# `[Laughter]`, page marks, and the mark-up that a chat model likes: kept in neither kind of text.
NOISE = re.compile(r"\[[^\]]{0,80}\]|[*_#`\x00-\x08]|(?<!\w)_|•")
PLAIN = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "—": "-", "–": "-", "‑": "-", "…": "..."})
ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Gen|Hon|Messrs|No|Nos|Sec|Art|vs|viz|Capt|Lieut|Col|Jr)|\b[A-Za-z])\.$"
)
BREAK = re.compile(r"(?<=[.!?])([\"')]*)\s+(?=[\"'(]*[A-Z0-9])")
END = re.compile(r"[.!?][\"')]*(?=\s|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One speech or chapter: what is assigned to a part as a whole."""

    key: str
    domain: str
    year: int
    era: str
    president: str | None
    party: str | None
    sentences: list[str]


def clean(text: str) -> str:
    """The one normal form of every text: NFC, plain quotes and dashes, no mark-up, single spaces, one line."""
    text = unicodedata.normalize("NFC", text).translate(PLAIN)
    return SPACES.sub(" ", NOISE.sub(" ", text)).strip()


def sentences(text: str) -> list[str]:
    """Cut at sentence ends, not after initials and titles."""
    out: list[str] = []
    start = 0
    for match in BREAK.finditer(text):
        if not ABBREVIATION.search(text[start : match.start()]):
            out.append(text[start : match.end(1)])
            start = match.end()
    return [*out, text[start:]]


def era(year: int) -> str:
    """The subgroup of a speech."""
    for first, last in ((1790, 1849), (1850, 1899), (1900, 1949)):
        if first <= year <= last:
            return f"{first}-{last}"
    return "1950-2021"


def read_units(sotu: Path, novel: Path) -> list[Unit]:
    """Every speech and chapter, in the order of their keys."""
    units = []
    for file in sorted((sotu / "data").glob("[0-9]*.json")):
        row = json.loads(file.read_text(encoding="utf-8"))
        year = int(row["year"])
        party = None if row["party"] == "none" else row["party"]
        key = f"sotu-{file.stem.rsplit('_', 1)[0].replace('_', '-')}"  # 1861_abraham_lincoln_r.json
        units.append(Unit(key=key, domain="speech", year=year, era=era(year), president=row["name"], party=party,
                          sentences=sentences(clean(row["text"]))))  # fmt: skip
    for file in sorted((novel / "data").glob("chapter_*.json")):
        row = json.loads(file.read_text(encoding="utf-8"))
        units.append(Unit(key=f"moby-{int(row['chapter']):03d}", domain="novel", year=1851, era="1850-1899",
                          president=None, party=None, sentences=sentences(clean(row["text"]))))  # fmt: skip
    return units


def assign(units: list[Unit]) -> dict[str, str]:
    """The part of every unit, with the same shares in each era and in the novel."""
    strata = collections.defaultdict(list)
    for unit in units:
        strata[unit.domain, unit.era].append(unit.key)
    part = {}
    for (domain, name), keys in strata.items():
        edges = [round(len(keys) * upto) for upto in PARTS.values()]
        for position, index in enumerate(stream(SEED, "part", domain, name).permutation(len(keys))):
            part[keys[index]] = list(PARTS)[bisect.bisect_right(edges, position)]
    return part


def finished(text: str) -> str:
    """`clean`, up to the end of the last whole sentence; empty when there is none."""
    text = clean(text)
    ends = [m.end() for m in END.finditer(text)]
    return text[: ends[-1]] if ends else ""


def passages(unit: Unit, lengths: list[int]) -> Iterator[dict[str, Any]]:
    """The unit cut into runs of whole sentences, each about as long as some text of the model."""
    rng = stream(SEED, "cut", unit.key)
    run: list[str] = []
    number, target = 0, int(rng.choice(lengths))
    for sentence in [*unit.sentences, ""]:
        have, more = sum(len(s.split()) for s in run), len(sentence.split())
        # A run ends where it is nearest to its target: before this sentence if adding it would overshoot by more.
        if run and (not sentence or have + more - target > target - have):
            text = finished(" ".join(run))
            if MIN_WORDS <= len(text.split()) <= MAX_WORDS:
                yield {"id": f"{unit.key}-{number:04d}", "text": text, "source": unit.key, "domain": unit.domain,
                       "year": unit.year, "president": unit.president, "party": unit.party,
                       "subgroup": unit.era}  # fmt: skip
                number += 1
            run, target = [], int(rng.choice(lengths))
        run.append(sentence)


def shingles(text: str) -> set[int]:
    """Hashes of the text's runs of twelve words."""
    words = text.lower().split()
    return {hash(" ".join(words[i : i + 12])) for i in range(len(words) - 11)}


def only_in_one_part(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out every text that shares twelve words in a row with a text of another part, and second copies."""
    owner: dict[int, str] = {}
    shared: set[int] = set()
    once = list({r["text"]: r for r in rows}.values())
    grams = [shingles(r["text"]) for r in once]
    for row, own in zip(once, grams, strict=True):
        shared.update(g for g in own if owner.setdefault(g, row["part"]) != row["part"])
    return [r for r, own in zip(once, grams, strict=True) if not own & shared]
