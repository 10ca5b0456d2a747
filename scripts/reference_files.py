"""The reference pages on the files people write, policies and experiments, from the config models they are checked by.

Every key's meaning is the docstring below it, so a page cannot say what the program does not.
"""

import ast
import inspect
import re
import textwrap
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from provenance.catalog.mixes import POOL_COLUMNS
from provenance.config import Config
from provenance.mixing.policy import Budget, MixPolicy, Share, shipped_file, shipped_files
from provenance.plugins import METRICS, WORLDS
from provenance.recursion import cohorts
from provenance.recursion import config as experiment
from provenance.recursion.models.watermarking import Watermark
from provenance.recursion.training_settings import TrainingSettings

POLICIES = """\
A policy says what a training set takes from a pool and how much of it. The same file serves `mix plan`, `mix lock` and
`mix build`, where the pool is the catalog, and experiments, where the pool is what earlier generations left. A name
alone is a policy that ships; a file ends in `.toml`.

```toml
name = "mostly-human"
from = ["books", "crawl"]

[budget]
documents = 10_000
on_shortfall = "fill"

[[share]]
where = "origin = 'human' and generation = 0"
take = "all"

[[share]]
where = "p_model < 0.2 and not duplicate"
weight = "1 - p_model"
share = 0.9

[[share]]
where = "true"
share = 0.1
by = "subgroup"
```

Shares with `take` are served first; the others divide what is left of the budget and sum to 1. A document belongs to
the first share that draws it. Draws depend on the seed and on documents' ids alone, so the same policy over the same
pool takes the same documents, and a pool that has grown keeps most of them.
"""

EXPERIMENTS = """\
An experiment trains a model on real data, lets it write, trains the next one on what a policy takes from all that is
there, and so on. `experiment recipes` lists those that ship, `experiment recipes NAME` prints one to start from,
`experiment run FILE.toml --dry-run` checks a file and says what it would cost.

```toml
name = "mine"
world = "ngram"
generations = 8
seeds = [0, 1, 2]
policies = ["replace", "accumulate", "mine.policy.toml"]

[real]
corpus = "books"

[budget]
documents = 2_000
```

An unknown key is an error, never ignored. Every experiment also runs `control`, which trains on real data only. What a
policy may say has [its own page](policies.md).
"""

IN_MIX, IN_TEXTS, IN_SAMPLES = "mix", "texts", "samples"
COLUMNS = {
    "age": "Generations back from the texts about to be made: 1 is the newest.",
    "arrived": "The generation in whose pool it was first.",
    "basis": "What the tag rests on, as in `tags`.",
    "corpus": "The corpus it belongs to.",
    "created_at": "When it was written, as far as the source says.",
    "declared_generator": "The model the source names.",
    "declared_origin": "What the source says: human, model, mixed or NULL.",
    "duplicate": "Whether `dedup` set it aside.",
    "generation": "Model generations between it and human text, at least.",
    "generation_max": "The same, at most; NULL where some model's training is not recorded.",
    "human_ancestry": "Share of its ancestry that is known to end in human text.",
    "key": "Its key in the source.",
    "language": "Language code, where the source has one.",
    "meta": "The other fields of the source, as JSON: `meta->>'field'`.",
    "n": "Samples in the cohort.",
    "n_chars": "Characters.",
    "n_tokens": "Tokens: of the world's tokenizer; in a mix a quarter of the characters, rounded up.",
    "n_words": "Words.",
    "origin": "What is known: human, model, mixed or unknown. In an experiment the truth that no detector sees.",
    "p_model": "Probability that a model wrote it, by tags or the experiment's detector; NULL where nobody judged.",
    "source": "Where the source says it is from; `generation-N` for what the models of an experiment wrote.",
    "subgroup": "Dialect, speaker, class …: whose share is watched.",
    "tag": "The tag's origin; in an experiment a detector says `human` or `model`, a verifier `kept` or `rejected`.",
    "uses": "How many built mixes, or training sets of the run, hold it already.",
}
"""What the columns of a pool mean."""
IN_TEXT_EXPERIMENTS = {*cohorts.POOL_COLUMNS} - {"n"}


def policies_page() -> str:
    """Keys, columns and shipped policies."""
    used = {**dict.fromkeys(POOL_COLUMNS), **dict.fromkeys(cohorts.POOL_COLUMNS)}
    rows = [
        [
            f"`{name}`",
            "yes" if name in POOL_COLUMNS else "",
            "yes" if name in IN_TEXT_EXPERIMENTS else "",
            "yes" if name in cohorts.POOL_COLUMNS else "",
            COLUMNS[name],
        ]
        for name in sorted(used)
    ]
    parts = ["# Policy files\n", POLICIES]
    parts += ["## Keys\n", *_keys(MixPolicy)]
    parts += ["### `[budget]`\n", *_keys(Budget), "### `[[share]]`\n", *_keys(Share)]
    parts += ["## Columns\n", "What `where`, `weight`, `order` and `by` may name. NULL counts as false.\n"]
    parts += _table(["column", "mixes", "experiments on texts", "on samples", "meaning"], rows)
    parts += ["## Policies that ship\n"]
    for name, tables in shipped_files():
        if "share" in tables:
            parts += [f"### `{name}`\n", "```toml", shipped_file(name).rstrip(), "```\n"]
    return "\n".join(parts)


def experiments_page() -> str:
    """Keys of experiment files, worlds, metrics and shipped recipes."""
    parts = ["# Experiment files\n", EXPERIMENTS, "## Keys\n", *_keys(experiment.Experiment)]
    for heading, table in {
        "[real]": experiment.Real,
        "[budget]": Budget,
        "[detector]": experiment.Detection,
        "[detector.simulated]": experiment.SimulatedDetector,
        "[detector.verifier]": experiment.Verifier,
        "[metrics]": experiment.MetricChoice,
        "[[sweep]]": experiment.Axis,
        "[figure]": experiment.Figure,
        "[[figure.published]]": experiment.Published,
        "[price]": experiment.Price,
    }.items():
        parts += [f"### `{heading}`\n", *_keys(table)]
    parts += ["## Worlds\n", "The kinds of model, each with its own `[model]` and `[sampling]`.\n"]
    for name in WORLDS:
        world = WORLDS.load(name)
        about = re.sub(r"\s*Knows no [^.]*\.", "", inspect.getdoc(inspect.getmodule(world)) or "")
        parts += [f"### `{name}`\n", f"{about}\n"]
        for heading, table in zip(("[model]", "[sampling]"), world.tables, strict=True):
            parts += [f"`{heading}`\n", *_keys(table)] if table.model_fields else []
    parts += [
        "## `[model.training]`\n",
        "Of the worlds `causal_lm`, `diffusion` and `vae`.\n",
        *_keys(TrainingSettings),
    ]
    parts += ["## `[sampling.watermark]`\n", "Of the world `causal_lm`.\n", *_keys(Watermark)]
    parts += ["## Metrics\n", "What `[metrics]` and `[figure]` may name; each world records those it can answer.\n"]
    better = {True: "higher", False: "lower", None: ""}
    metrics = [METRICS.load(name) for name in METRICS]
    rows = [[f"`{metric.name}`", metric.unit, better[metric.higher_is_better], metric.what] for metric in metrics]
    parts += _table(["metric", "unit", "better", "meaning"], rows)
    parts += ["## Recipes that ship\n"]
    shipped = [(name, tables) for name, tables in shipped_files() if "world" in tables]
    rows = [[f"`{name}`", f"`{tables['world']}`", tables.get("description", "")] for name, tables in shipped]
    parts += _table(["recipe", "world", "what it shows"], rows)
    return "\n".join(parts)


def _keys(table: type[Config]) -> list[str]:
    """A row per key of a config model."""
    said = meanings(table)
    rows = [
        [f"`{info.alias or name}`", _kind(info.annotation) + _bounds(info), _default(info), said[name]]
        for name, info in table.model_fields.items()
        if name not in {"family", "point", "points"}  # the program's own
    ]
    return _table(["key", "type", "default", "meaning"], rows)


def meanings(table: type[Config]) -> dict[str, str]:
    """The docstring below each field of a config model, its bases' fields included; "" where there is none."""
    found = dict.fromkeys(table.model_fields, "")
    for cls in reversed(table.__mro__):
        if not issubclass(cls, Config) or cls is Config:
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, after in zip(body.body, [*body.body[1:], None], strict=True):
            if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
                continue
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                found[field.target.id] = " ".join(str(after.value.value).split())
    return found


def _kind(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f'`"{value}"`' for value in inner)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_kind(one) for one in inner if one is not NoneType))
    if origin is list:
        return f"list of {_kind(inner[0])}"
    if origin is tuple:
        return f"[{', '.join(map(_kind, inner))}]"
    if origin is dict or (isinstance(annotation, type) and issubclass(annotation, Config)):
        return "table"
    names = {int: "integer", float: "number", str: "text", bool: "true or false"}
    return names.get(annotation, "text")


def _bounds(info: FieldInfo) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found = [f"{sign} {value:g}" for one in info.metadata for name, sign in signs.items()
             if (value := getattr(one, name, None)) is not None]  # fmt: skip
    return f" {', '.join(found)}" if found else ""


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "needed"
    value = info.get_default(call_default_factory=True)
    if value is None or isinstance(value, Config) or value in ({}, [], ""):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [*("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines), ""]
