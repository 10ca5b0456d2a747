"""Experiments on a catalog's corpora: real texts out of it, results back into it. The front door for commands.

The held-out split goes by text, so equal texts and near-duplicates are on the same side whatever their ids.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.special import expit

from provenance import seeds
from provenance.catalog import experiments as rows
from provenance.catalog.corpora import CorpusInfo, get_corpus
from provenance.catalog.derived import ROWS_PREFIX
from provenance.catalog.mixes import get_mix, pool_corpora, read_pool
from provenance.catalog.pool import PoolEvaluator
from provenance.catalog.store import Catalog
from provenance.config import checked
from provenance.corpus.texts import texts_by_id
from provenance.errors import ConfigError, DataError, NotFoundError
from provenance.ids import fingerprint
from provenance.mixing.policy import Share, shipped_files, shipped_tables
from provenance.recursion.config import Experiment, Real, experiments_of, load_experiments
from provenance.recursion.documents import Detect, RealTexts
from provenance.recursion.plan import Plan
from provenance.recursion.recorder import CatalogRecorder
from provenance.recursion.run import Result, run_experiment, stored_model
from provenance.tagging.log_lr import to_log_lr
from provenance.tagging.stored import open_detector

FOLDER = "experiments"
_NAMES_FILES = ("base", "tokenizer", "validation", "data")
"""Settings of worlds that may be a path."""
_NO_FILES = {"digits"}
"""What such a setting may say besides a path or a name on the hub."""
_PRIVATE = ["doc_id", "split_key"]  # a policy chooses by tags and sizes, not by content


def plan_experiment(
    catalog: Catalog, experiment: Experiment, *, folder: Path | None = None, only: Sequence[str] = ()
) -> Plan:
    """Everything the experiment needs: policies (files are looked up in `folder`), real texts, the trained detector.

    Raises ConfigError, NotFoundError, DataError.
    """
    experiment = _located(experiment, folder)
    detect, version = None, None
    if experiment.detector is not None and experiment.detector.name is not None:
        detect, version = _detector(catalog, experiment.detector.name)
    return Plan(
        experiment=experiment,
        policies=experiment.resolved_policies(folder),
        folder=catalog.root / FOLDER,
        real=load_real(catalog, experiment.real) if experiment.real.corpus or experiment.real.mix else None,
        detect=detect,
        detect_version=version,
        files_sha256=_files_sha256(experiment.model),
        only=only,
    )


def _located(experiment: Experiment, folder: Path | None) -> Experiment:
    """The experiment with full paths in `[model]`: looked up beside its file, then here, so that it can be resumed."""
    found = {}
    for key in _NAMES_FILES:
        named = experiment.model.get(key)
        if isinstance(named, str) and named not in _NO_FILES:
            there = [place / named for place in (folder or Path(), Path()) if (place / named).exists()]
            if there:
                found[key] = str(there[0].resolve())
    return experiment.model_copy(update={"model": experiment.model | found})


def _files_sha256(settings: Mapping[str, Any]) -> dict[str, str]:
    """For each setting that names a file or folder, one hash of what is there, names inside a folder included."""
    found = {}
    for key in _NAMES_FILES:
        path = Path(str(settings.get(key, "")))
        if not path.is_absolute() or not path.exists():  # a name on the hub
            continue
        files = []
        for file in [path] if path.is_file() else sorted(inside for inside in path.rglob("*") if inside.is_file()):
            status = file.stat()
            sha256 = _file_sha256(file, status.st_size, status.st_mtime_ns)
            files.append([file.relative_to(path).as_posix(), sha256])
        found[key] = fingerprint(files)
    return found


@cache
def _file_sha256(file: Path, size: int, changed_ns: int) -> str:
    """Remembered while size and time of change stay: a sweep has a hundred plans with the same model."""
    del size, changed_ns
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _detector(catalog: Catalog, name: str) -> tuple[Detect, str]:
    """A trained detector as a function from texts to p_model at even odds, and its version."""
    opened = open_detector(catalog.root, name)

    def p_model(texts: Sequence[str]) -> NDArray[np.float64]:
        scores = opened.detector.score(texts)
        log_lr = to_log_lr(opened.detector.kind, opened.detector.score_is, scores, opened.reading)
        return np.asarray(expit(log_lr), dtype=np.float64)

    return p_model, f"{name}@{opened.detector.version}"


def load_real(catalog: Catalog, real: Real) -> RealTexts:
    """The real documents of `[real]`, split into those to train on and the human ones that are held out.

    Documents that a held-out corpus reaches, by text, descent or near-duplicate, are in neither.
    """
    node, known, infos = _real_rows(catalog, real)
    predicate = real.where or ("true" if real.mix else "origin = 'human'")
    with PoolEvaluator() as evaluator:
        chosen = evaluator.evaluate(known.drop_columns(_PRIVATE), [Share(where=predicate, take="all")], policy="[real]")
    ids = [bytes(doc_id) for doc_id in known["doc_id"].combine_chunks().cast(pa.binary(16)).to_pylist()]
    allowed = read_pool(catalog, infos, ())  # what mixes may draw from
    free = set(allowed.table["doc_id"].combine_chunks().cast(pa.binary(16)).to_pylist())
    wanted = [i for i in np.flatnonzero(chosen[0].matches).tolist() if ids[i] in free]
    if not wanted:
        raise DataError(
            f"no document of {node} satisfies [real] where = {predicate!r}",
            hint="tag the corpus first, or give [real] another predicate",
        )
    column = {name: known[name].to_pylist() for name in known.column_names}
    keys = [bytes.fromhex(key)[:16] for key in column["split_key"]]
    chance = seeds.units(seeds.integer(0, "held out"), keys)
    share = 0.0 if real.held_out_corpus else real.held_out
    human = [i for i in wanted if column["origin"][i] == "human"]
    held = [i for i in human if chance[i] < share]
    if share and human and not held:
        raise ConfigError(
            f"[real] held_out = {share} of {len(human)} human documents is none: there is nothing to measure against",
            hint="a larger share, a held_out_corpus, or held_out = 0 to go without",
        )
    # What is alike goes to the same side, whoever wrote it.
    aside = {keys[i] for i in held}
    train = [i for i in wanted if keys[i] not in aside]
    found = texts_by_id(catalog, {UUID(bytes=ids[i]) for i in (*train, *held)})
    held_texts, held_subgroups = [found[UUID(bytes=ids[i])] for i in held], [column["subgroup"][i] for i in held]
    if real.held_out_corpus:
        held_texts, held_subgroups = _held_out_corpus(catalog, real.held_out_corpus)
    p_model = pc.fill_null(known["p_model"], float("nan")).to_numpy()
    return RealTexts(
        ids=[ids[i] for i in train],
        texts=[found[UUID(bytes=ids[i])] for i in train],
        held_out=held_texts,
        held_out_subgroup=held_subgroups,
        origin=[column["origin"][i] for i in train],
        p_model=[float(p_model[i]) for i in train],
        source=[column["source"][i] for i in train],
        subgroup=[column["subgroup"][i] for i in train],
        node=[node] * len(train),
        generation=[column["generation"][i] for i in train],
        human_ancestry=[column["human_ancestry"][i] for i in train],
    )


def _held_out_corpus(catalog: Catalog, name: str) -> tuple[list[str], list[str | None]]:
    """Texts and subgroups of a corpus that no model trains on. Raises ConfigError where it is not held out."""
    info = get_corpus(catalog, name)
    if not info.held_out:
        raise ConfigError(
            f"[real] held_out_corpus: {info.corpus!r} is not held out, so its texts may be trained on",
            hint="add it with --held-out",
        )
    known = rows.real_rows(catalog, corpus_id=info.corpus_id)
    ids = [UUID(bytes=bytes(doc_id)) for doc_id in known["doc_id"].combine_chunks().cast(pa.binary(16)).to_pylist()]
    found = texts_by_id(catalog, set(ids))
    return [found[doc_id] for doc_id in ids], known["subgroup"].to_pylist()


def _real_rows(catalog: Catalog, real: Real) -> tuple[str, pa.Table, list[CorpusInfo]]:
    """The lineage node of the real data, what is known of its documents, and the corpora they are in."""
    if real.mix is not None:
        mix = get_mix(catalog, real.mix)
        return f"mix:{mix.ref}", rows.real_rows(catalog, mix=(mix.mix, mix.version)), pool_corpora(catalog, None)
    info = get_corpus(catalog, real.corpus or "")
    if info.held_out:
        raise ConfigError(
            f"corpus {info.corpus!r} is held out: no model may train on it", hint="name another corpus under [real]"
        )
    return f"corpus:{info.ref}", rows.real_rows(catalog, corpus_id=info.corpus_id), [info]


def run_in_catalog(catalog: Catalog, plan: Plan, *, command: str = "experiment run") -> Iterator[Result]:
    """Run or resume a plan under one activity, writing every generation to the catalog as it is finished."""
    params: dict[str, Any] = {"experiment": plan.experiment.name, "fingerprint": plan.fingerprint()}
    with catalog.activity(command, params) as activity:
        if plan.real is not None:
            activity.inputs.extend(sorted(set(plan.real.node or ())))
        activity.outputs.append(f"exp:{plan.experiment.name}")
        yield from run_experiment(plan, CatalogRecorder(catalog, plan, activity))
        with catalog.read() as con:
            activity.outputs.append(f"{ROWS_PREFIX}{rows.experiment_sha256(con, plan.experiment.name)}")


def named_experiments(source: str) -> tuple[list[Experiment], Path | None]:
    """The experiments in a .toml file, and its folder; or a shipped recipe's. Raises ConfigError, NotFoundError."""
    if source.endswith(".toml"):
        return load_experiments(Path(source)), Path(source).resolve().parent
    tables = shipped_tables(source)
    if "world" not in tables:
        recipes = [name for name, found in shipped_files() if "world" in found]
        raise NotFoundError.of("recipe", source, recipes, hint=f"shipped: {', '.join(recipes)}; a file ends in .toml")
    return experiments_of(tables, f"recipe {source!r}"), None


def shipped() -> list[tuple[str, str, str]]:
    """What ships: `experiment` or `policy`, its name, and its description."""
    return sorted(
        ("experiment" if "world" in tables else "policy", name, str(tables.get("description", "")))
        for name, tables in shipped_files()
    )


def stored_experiment(catalog: Catalog, name: str) -> Experiment:
    """The experiment as it was started, for `resume`. Raises NotFoundError."""
    return checked(Experiment, rows.experiment_config(catalog, name), f"experiment {name!r}")


def export_model(catalog: Catalog, name: str, run_name: str, folder: Path, *, generation: int) -> None:
    """Write a stored model as a folder that transformers loads, all of it or nothing.

    Raises NotFoundError, and ConfigError where the world's models have no such form or the folder is taken.
    """
    plan = plan_experiment(catalog, stored_experiment(catalog, name), only=[run_name])
    world, model = stored_model(plan, plan.runs[0], generation)
    if not hasattr(world, "save"):
        raise ConfigError(
            f"a model of world {plan.experiment.world!r} is a few arrays, not a folder for transformers",
            hint=f"they are in {catalog.root / FOLDER}, as model.npz of each stored generation",
        )
    if folder.exists():
        raise ConfigError(f"{folder} is there already", hint="name a new folder")
    with catalog.activity("experiment export", {"run": f"{name}/{run_name}", "generation": generation}) as activity:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
            world.save(model, Path(temporary) / folder.name)
            (Path(temporary) / folder.name).rename(folder)
        activity.inputs.append(f"exp:{name}")
        activity.outputs.append(folder.name)


def remove(catalog: Catalog, name: str) -> None:
    """Forget an experiment's numbers and delete its folders, and first generations that no other experiment shares.

    Corpora it wrote stay: they are history.
    """
    rows.experiment_config(catalog, name)
    with catalog.activity("experiment rm", {"experiment": name}), catalog.write() as con:
        rows.remove_experiment(con, name)
    plans = {
        file.parent.name: json.loads(file.read_text(encoding="utf-8"))
        for file in (catalog.root / FOLDER).glob("*/plan.json")
    }
    own = set(plans.pop(name, {}).get("generation_0", ()))
    for key in own.difference(*(plan.get("generation_0", ()) for plan in plans.values())):
        shutil.rmtree(catalog.root / FOLDER / "generation-0" / key, ignore_errors=True)
    shutil.rmtree(catalog.root / FOLDER / name, ignore_errors=True)
