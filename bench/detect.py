"""Detection: quality on domains and generators never seen, promised rates, shares, copies, speed; against baselines.

Usage: PROVENANCE_BENCH_DATA=… python bench/detect.py [--lm FOLDER] [PART…]. Writes bench/results/detect.json; with
parts named, only those are measured and the rest of the file stays, each part with its own date and load. The shipped
detector's figures on held-out domains come from the scores stored with it (scripts/train_default_detector.py);
baselines and everything on attacks and generators are trained here. One thread, CPU time, best of several repeats.
"""

import argparse
import gzip
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np
from local_labels import conformal, few_labels
from machine import RESULTS, machine, write_result
from numpy.typing import NDArray
from shares import prevalence

from provenance.detectors.compression import Compression
from provenance.detectors.ngram import Ngram
from provenance.detectors.normalise import normalise
from provenance.detectors.registry import OutputRegistry
from provenance.detectors.stack import Stack
from provenance.detectors.style_features import style_matrix
from provenance.detectors.stylometry import Stylometry
from provenance.detectors.tokens import tokenise
from provenance.seeds import stream
from provenance.tagging.attacks import ATTACKS
from provenance.tagging.crossval import Labelled, generator_folds, held_out_scores
from provenance.tagging.metrics import auroc, tpr_at
from provenance.tagging.reading import Reading
from provenance.tagging.stored import open_detector

CHAT_DOMAINS = ("arxiv_abstract", "creative_story", "yelp_review")
OURS = ("assistant-2026", "smollm2-135m-instruct")
"""Generators whose few texts were made for the shipped detector; they are in no test."""
Floats = NDArray[np.float64]
Score = Callable[[list[str]], Floats]


def main() -> None:
    """Run everything and write the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--lm", default="", help="folder of a causal language model, for the likelihood detector")
    parser.add_argument("parts", nargs="*", help="measure these alone")
    args = parser.parse_args()
    data = read_dev(Path(os.environ["PROVENANCE_BENCH_DATA"]))
    opened = open_detector(None, "stack")
    assert opened.reading is not None
    parts: dict[str, Callable[[], Any]] = {
        "speed": lambda: speed(data),
        "held_out_domains": lambda: held_out_domains(data, opened.reading),
        "held_out_generators": lambda: held_out_generators(data),
        "attacks_on_held_out_domains": lambda: attacks(data),
        "one_threshold_for_all": lambda: one_threshold(opened.reading),
        "conformal_200_local_humans": lambda: conformal(opened.reading),
        "calibration_error_20_and_20": lambda: few_labels(opened.reading, CHAT_DOMAINS),
        "prevalence": lambda: prevalence(opened.reading, CHAT_DOMAINS, OURS),
        "registry": lambda: registry(data),
        **({"likelihood": lambda: likelihood(data, args.lm)} if args.lm else {}),
    }
    if unknown := set(args.parts) - set(parts):
        parser.error(f"unknown parts {sorted(unknown)}; known: {', '.join(parts)}")
    path = RESULTS / "detect.json"
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if result.get("detector", opened.detector.version) != opened.detector.version:
        if args.parts:
            parser.error("the result on file is of another detector: run all parts")
        # What a language model costs has nothing to do with the shipped detector.
        result = {key: value for key, value in result.items() if key == "likelihood"}
    result |= {"machine": machine(), "detector": opened.detector.version, "texts": len(data.texts)}
    for name in args.parts or parts:
        facts = machine()
        result[name] = {"measured": {key: facts[key] for key in ("date", "load_average_1min")}, **parts[name]()}
        print(name, json.dumps(result[name], indent=1), flush=True)
        write_result("detect", result)


def read_dev(root: Path) -> Labelled:
    """The labelled texts."""
    with gzip.open(root / "detection" / "dev.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    is_model = np.array([row["label"] == "model" for row in rows])
    return Labelled(
        texts=[row["text"] for row in rows],
        is_model=is_model,
        domains=[row["domain"] for row in rows],
        generators=[row["generator"] if model else "" for row, model in zip(rows, is_model, strict=True)],
    )


def figures(human: Floats, model: Floats) -> dict[str, float]:
    """AUROC and TPR at 5 and 1 % FPR; abstentions left out."""
    human, model = np.sort(human[np.isfinite(human)]), np.sort(model[np.isfinite(model)])
    return {
        "auroc": round(auroc(human, model), 3),
        "tpr_at_5": round(tpr_at(human, model, 0.05), 3),
        "tpr_at_1": round(tpr_at(human, model, 0.01), 3),
    }


def cpu_seconds(work: Callable[[], Any], repeats: int = 3, *, warm: bool = True) -> float:
    """The least CPU time of several runs; a first one, which compiles and warms, does not count."""
    if warm:
        work()
    best = np.inf
    for _ in range(repeats):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return float(best)


def speed(data: Labelled) -> dict[str, Any]:
    """Documents per second on one core, raw text to score."""
    texts = list(data.texts[:2000])
    stack = open_detector(None, "stack").detector
    members = {"stylometry": stack.members[0].score, "ngram": stack.members[1].score, "stylometry+ngram": stack.score}
    rest = data.take(np.arange(2000, 4000))
    members["compression"] = Compression().fit(rest.texts, rest.is_model, rest.groups).score
    members["baseline_tfidf_logistic"] = tfidf_logistic(rest)
    members["baseline_boosted_style"] = boosted_style(rest)
    work = {"normalise": lambda some: [normalise(text) for text in some], **members}
    return {
        name: round(len(texts) / cpu_seconds(lambda score=score: score(texts), 1 if "base" in name else 3))
        for name, score in work.items()
    }


def tfidf_logistic(train: Labelled) -> Score:
    """The usual strong baseline: word and character TF-IDF with logistic regression, on normalised text."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    model = make_pipeline(
        make_union(
            TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, max_features=60_000),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 4), min_df=2, sublinear_tf=True, max_features=60_000),
        ),
        LogisticRegression(C=10, solver="liblinear"),
    )
    model.fit([normalise(text) for text in train.texts], train.is_model)
    return lambda texts: np.asarray(model.decision_function([normalise(text) for text in texts]))


def boosted_style(train: Labelled) -> Score:
    """The other usual baseline: gradient boosting on stylometric features (ours, so only the learner differs)."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    def features(texts: list[str]) -> NDArray[np.float32]:
        return style_matrix(tokenise([normalise(text) for text in texts]))

    model = HistGradientBoostingClassifier(max_iter=200, learning_rate=0.06, max_leaf_nodes=15, random_state=0)
    model.fit(features(list(train.texts)), train.is_model)
    return lambda texts: np.asarray(model.decision_function(features(texts)))


def held_out_domains(data: Labelled, reading: Reading) -> dict[str, Any]:
    """Each domain scored by detectors that never saw it; `pooled` is one ranking over the three chat-model domains.

    `all` ranks their model texts among the human texts of every domain; so are those of an assistant of 2026, the
    answers of some 200 models, and the stories of models of 2025, each domain of them left out as well.
    """
    domains = np.asarray(data.domains)
    scored: dict[str, dict[str, tuple[Floats, Floats]]] = {}
    humans, models = np.asarray(reading.human_domains), np.asarray(reading.model_domains)
    theirs = ~np.isin(reading.model_generators, OURS)
    for domain in np.unique(domains).tolist():
        own = (reading.human_scores[humans == domain], reading.model_scores[(models == domain) & theirs])
        scored.setdefault("shipped", {})[domain] = own
        rest, inside = data.take(np.flatnonzero(domains != domain)), data.take(np.flatnonzero(domains == domain))
        trained = {
            "tfidf_logistic": tfidf_logistic(rest),
            "boosted_style": boosted_style(rest),
            "stylometry": Stylometry().fit(rest.texts, rest.is_model, rest.groups).score,
            "ngram": Ngram().fit(rest.texts, rest.is_model, rest.groups).score,
            "compression": Compression().fit(rest.texts, rest.is_model, rest.groups).score,
        }
        values = {name: score(list(inside.texts)) for name, score in trained.items()}
        values["tfidf_logistic + boosted_style"] = values["tfidf_logistic"] + values["boosted_style"]
        for name, value in values.items():
            scored.setdefault(name, {})[domain] = (value[~inside.is_model], value[inside.is_model])
    found = {
        name: {
            **{domain: figures(*pair) for domain, pair in by.items()},
            "pooled": figures(*(np.concatenate([by[d][k] for d in CHAT_DOMAINS]) for k in (0, 1))),
        }
        for name, by in scored.items()
    }
    others = {
        "all": theirs & np.isin(models, CHAT_DOMAINS),
        "assistant-2026": np.isin(reading.model_generators, OURS[0]),
        "answers": models == "answers",
        "stories-2025": models == "stories",
    }
    found["shipped"] |= {name: figures(reading.human_scores, reading.model_scores[own]) for name, own in others.items()}
    return found


def held_out_generators(data: Labelled) -> dict[str, dict[str, float]]:
    """Each generator left out of training, its domains kept; human texts are held out too."""
    scores = held_out_scores(Stack(), data, generator_folds(data))
    generators, domains = np.asarray(data.generators), np.asarray(data.domains)
    found = {}
    for name in sorted(set(data.generators) - {""}):
        rows = generators == name
        near = ~data.is_model & np.isin(domains, np.unique(domains[rows]))
        found[name] = figures(scores[near], scores[rows])
    return found


def attacks(data: Labelled) -> dict[str, dict[str, float]]:
    """Mean over the chat-model domains, each held out: disguised model texts against plain human ones."""
    domains = np.asarray(data.domains)
    found: dict[str, list[dict[str, float]]] = {}
    for domain in CHAT_DOMAINS:
        rest, inside = data.take(np.flatnonzero(domains != domain)), data.take(np.flatnonzero(domains == domain))
        detector = Stack().fit(rest.texts, rest.is_model, rest.groups)
        human = detector.score([t for t, m in zip(inside.texts, inside.is_model, strict=True) if not m])
        model = [t for t, m in zip(inside.texts, inside.is_model, strict=True) if m]
        found.setdefault("none", []).append(figures(human, detector.score(model)))
        for name, attack in ATTACKS.items():
            rng = stream(0, "attack", name)
            disguised = detector.score([attack(text, rng) for text in model])
            found.setdefault(name, []).append(figures(human, disguised))
    return {name: _mean(some) for name, some in found.items()}


def one_threshold(reading: Reading) -> dict[str, dict[str, float]]:
    """What goes wrong without local humans: false positives per held-out domain at thresholds set on all of them."""
    domains, scores = np.asarray(reading.human_domains), np.sort(reading.human_scores)
    found: dict[str, dict[str, float]] = {}
    for rate in (0.05, 0.01):
        threshold = scores[len(scores) - 1 - int(rate * len(scores))]
        for domain in np.unique(domains).tolist():
            own = reading.human_scores[domains == domain]
            found.setdefault(domain, {})[f"fpr_at_{rate:g}"] = round(float(np.mean(own > threshold)), 4)
    return found


def registry(data: Labelled) -> dict[str, float]:
    """Recall at 1 % of chance matches: 1,000 stories registered, human stories from the same prompts unrelated."""
    rows = np.flatnonzero(np.asarray(data.domains) == "creative_story")
    stories = data.take(rows)
    outputs = [t for t, m in zip(stories.texts, stories.is_model, strict=True) if m]
    humans = [t for t, m in zip(stories.texts, stories.is_model, strict=True) if not m]
    words = [word for text in humans for word in text.split()]
    filled = OutputRegistry().register(outputs).measure_chance(humans[:500])
    rng = stream(0, "registry")

    def substituted(text: str, rate: float) -> str:
        parts = text.split()
        hits = rng.random(len(parts)) < rate
        return " ".join(words[rng.integers(len(words))] if hit else part for part, hit in zip(parts, hits, strict=True))

    changes: dict[str, Callable[[str], str]] = {
        "exact": lambda text: text,
        "substituted_30": lambda text: substituted(text, 0.3),
        "substituted_50": lambda text: substituted(text, 0.5),
        "substituted_35_and_reordered": lambda text: " ".join(
            sorted(substituted(text, 0.35).split(), key=lambda _: rng.random())
        ),
        "one_fifth_kept": lambda text: " ".join(text.split()[: max(20, len(text.split()) // 5)]),
        "embedded": lambda text: " ".join([humans[1][:600], *text.split()[:60], humans[2][:600]]),
    }
    found = {
        name: round(float(np.nanmean(filled.score([change(text) for text in outputs[:400]]) >= 2)), 4)
        for name, change in changes.items()
    }
    return {**found, "false_matches": round(float(np.nanmean(filled.score(humans[500:]) >= 2)), 4)}


def likelihood(data: Labelled, folder: str) -> dict[str, Any]:
    """Batched scoring against the loop one finds in published code: one text, full softmax, sorted ranks.

    The loop runs once with the model as `from_pretrained` gives it, and once in float32 as the detector holds it.
    """
    import torch
    from transformers import AutoModelForCausalLM

    from provenance.detectors.likelihood import FEATURES, Likelihood

    torch.set_num_threads(1)
    order = stream(0, "likelihood").permutation(len(data.texts))[:12]
    texts = [data.texts[i] for i in order.tolist()]
    detector = Likelihood(model=folder)

    def naive(model: Any) -> None:
        for text in texts:
            ids = detector._tokenizer(normalise(text), return_tensors="pt")["input_ids"][:, :320]
            with torch.inference_mode():
                logits = model(ids).logits[0, :-1].float()
                target = ids[0, 1:]
                torch.log_softmax(logits, -1).gather(-1, target[:, None]).mean()
                torch.where(logits.argsort(-1, descending=True) == target[:, None])[1].log1p().mean()
                probs = torch.softmax(logits, -1)
                (probs * torch.log_softmax(logits, -1)).sum(-1).mean()

    def batched() -> None:
        detector._seen.clear()
        detector.features(texts)

    # Seconds a text: neither is run twice, and what warms up first is the batched one, to its own cost.
    fast = cpu_seconds(batched, 1, warm=False)
    as_stored = AutoModelForCausalLM.from_pretrained(folder).eval()
    slow = cpu_seconds(lambda: naive(as_stored), 1, warm=False)
    slow_float32 = cpu_seconds(lambda: naive(detector._model), 1, warm=False)
    rows = detector.features(texts)
    return {
        "texts": len(texts),
        "naive_texts_per_second": round(len(texts) / slow, 2),
        "batched_texts_per_second": round(len(texts) / fast, 2),
        "ratio": round(slow / fast, 2),
        "stored_as": str(as_stored.dtype),
        "naive_float32_texts_per_second": round(len(texts) / slow_float32, 2),
        "ratio_float32": round(slow_float32 / fast, 2),
        "features": len(FEATURES),
        "scored": int(np.isfinite(rows).all(axis=1).sum()),
    }


def _mean(some: list[dict[str, float]]) -> dict[str, float]:
    return {key: round(float(np.mean([one[key] for one in some])), 3) for key in some[0]}


if __name__ == "__main__":
    main()
