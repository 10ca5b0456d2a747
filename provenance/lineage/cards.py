"""A Hugging Face dataset card, and a draft of the EU summary of training content. Knows facts, no catalog."""

from typing import Any

import yaml  # type: ignore[import-untyped]

from provenance.lineage.facts import Facts, bases_in_words, contradiction, vocabulary

EU_SUMMARY_TITLE = "# Public summary of training content: DRAFT"
_SIZES = (
    (1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B"),
)  # fmt: skip


def hf_card(facts: Facts) -> str:
    """A README.md with YAML front matter."""
    terms = vocabulary()["origins"]
    creators = {term for origin in facts.origins for term in terms[origin]["hf"]}
    front: dict[str, Any] = {
        "pretty_name": facts.name,
        "language_creators": sorted(creators),
        "size_categories": [next((name for limit, name in _SIZES if facts.documents < limit), "n>1T")],
        "source_datasets": _sources(facts),
        "tags": ["corpus-provenance", f"sha256:{facts.sha256}"],
        "task_categories": ["text-generation"],
    }
    if facts.languages:
        front["language"] = list(facts.languages)
    names = list(facts.licenses)
    if names and names != ["unknown"]:
        front["license"] = names if len(names) > 1 else names[0]
    made = facts.activity
    lines = [
        "---",
        yaml.safe_dump(front, sort_keys=True, allow_unicode=True).strip(),
        "---",
        f"# {facts.name}",
        "",
        f"{facts.documents:,} documents, {facts.n_chars:,} characters. Version {facts.version}.",
        f"Made {facts.created_at:%Y-%m-%d} by `{made.command}` of corpus-provenance {made.code_version}.",
        "",
        "## Who wrote it",
        "",
        *_table(("origin", "documents"), facts.origins.items()),
        "",
        "How that is known:",
        "",
        *_table(("basis", "documents"), bases_in_words(facts).items()),
        "",
        *([said, ""] if (said := contradiction(facts)) else []),
        "Model generations between a text and human text:",
        "",
        *_table(
            ("generation", "documents"), [("unknown" if g is None else g, n) for g, n in facts.generations.items()]
        ),
    ]
    if facts.generators:
        lines += ["", "Models named by the sources:", "", *_table(("model", "documents"), facts.generators.items())]
    lines += ["", "## Where it comes from", "", *(f"- {relation} {node}" for relation, node in facts.parents)]
    return "\n".join(lines) + "\n"


def eu_summary(facts: Facts) -> str:
    """A draft of the public summary of training content (Regulation (EU) 2024/1689, Article 53(1)(d))."""
    synthetic = {origin: n for origin, n in facts.origins.items() if origin in {"model", "mixed"}}
    dates = (
        f"{facts.first_date:%Y-%m-%d} to {facts.last_date:%Y-%m-%d}"
        if facts.first_date and facts.last_date
        else "not recorded"
    )
    lines = [
        EU_SUMMARY_TITLE,
        "",
        "> DRAFT written from a provenance catalog. It is not legal advice and not complete: a person must check it",
        "> against the template of the European Commission, and fill in everything marked [to be filled in].",
        "",
        "## 1. General information",
        "",
        "- Provider, model, date of placing on the market: [to be filled in]",
        f"- Training data described here: {facts.node}, sha256 {facts.sha256}",
        "- Modality: text",
        f"- Size: {facts.documents:,} documents, {facts.n_chars:,} characters",
        f"- Languages: {', '.join(facts.languages) or 'not recorded'}",
        f"- Dates of the documents: {dates}",
        "",
        "## 2. List of data sources",
        "",
        "### 2.1 Sources of the documents",
        "",
        *(f"- {uri}" for uri in facts.source_uris or ["no source URI was recorded [to be filled in]"]),
        *(f"- {relation} {node}" for relation, node in facts.parents if node.startswith(("corpus:", "external:"))),
        f"- Licences: {_licenses(facts)}",
        "",
        "### 2.2 Synthetic data",
        "",
    ]
    if synthetic:
        total = sum(synthetic.values())
        lines += [
            f"{total:,} of {facts.documents:,} documents ({total / facts.documents:.1%}) hold text written by a model."
        ]
        lines += ["", *_table(("model", "documents"), facts.generators.items())] if facts.generators else []
    else:
        lines += ["No document is known to hold text written by a model."]
    lines += ["", f"How this is known: {', '.join(f'{n:,} {how}' for how, n in bases_in_words(facts).items())}."]
    if said := contradiction(facts):
        lines += ["", said]
    unknown = facts.origins.get("unknown", 0)
    if unknown:
        lines += ["", f"For {unknown:,} documents it is not known who wrote them."]
    lines += [
        "",
        "### 2.3 Other sources (private, licensed, user data, crawled domains)",
        "",
        "[to be filled in]",
        "",
        "## 3. Data processing",
        "",
        "- Measures to respect reservations of rights and to remove illegal content: [to be filled in]",
        f"- Processing: `{facts.activity.command}` of corpus-provenance {facts.activity.code_version}",
    ]
    return "\n".join(lines) + "\n"


def _licenses(facts: Facts) -> str:
    known = [f"{name} ({n:,} documents)" for name, n in facts.licenses.items() if name != "unknown"]
    if missing := facts.licenses.get("unknown"):
        known.append(f"not recorded for {missing:,} documents [to be filled in]")
    return ", ".join(known)


def _sources(facts: Facts) -> list[str]:
    external = sorted(node.removeprefix("external:") for node, _, _ in facts.ancestry if node.startswith("external:"))
    return [f"extended|{name}" for name in external] or ["original"]


def _table(head: tuple[str, str], rows: Any) -> list[str]:
    return [f"| {head[0]} | {head[1]} |", "|---|---:|", *(f"| {name} | {n:,} |" for name, n in rows)]
