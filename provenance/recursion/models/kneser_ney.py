"""Interpolated Kneser-Ney n-grams over integer tokens, vectorised: counting, probabilities, sampling. Knows no text.

Chen and Goodman (1999), with one discount per order, D = n1 / (n1 + 2 n2). Documents start after `order - 1` start
symbols; as in KenLM, n-grams that begin with one keep raw counts, because nothing can precede them. There is no end
symbol: a document's length is given. The lowest order keeps the Good-Turing share n1 / N of its mass for tokens
the model has never seen, so that every text has a code length; sampling is conditional on known tokens.

An n-gram's id is its place among the sorted keys `prefix id * (vocabulary + 1) + token`; order 1 ids are places among
the known tokens. Arrays named `keys_k`, `total_k` … belong to n-grams of k tokens.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from provenance.recursion.models.tilt import Decoding, tilted

Ids = NDArray[np.int64]

# A discount of 0 would make unseen continuations of a seen context impossible: after full collapse a training set
# has no n-gram that occurs once, and the formula gives exactly that.
MIN_DISCOUNT, MAX_DISCOUNT = 0.05, 0.95
MIN_NOVEL, MAX_NOVEL = 1e-6, 0.5
_ROWS = 64
"""Documents whose whole next-token distribution is in memory at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The n-grams of one order, sorted by key."""

    keys: Ids
    cumulative: NDArray[np.float64]
    """Cumulative discounted counts with a leading 0; a context's n-grams are a contiguous range."""
    start: Ids
    """start[c] : start[c + 1] are the n-grams whose context (the id one order below) is c."""
    total: NDArray[np.float64]
    """Count of all n-grams of each context; 0 for a context that nothing follows."""
    backoff: NDArray[np.float64]
    """Mass each context leaves to the order below; 1 where nothing follows it."""
    discounted: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class KneserNey:
    """A trained model. Token ids run from 0 to `vocabulary - 1`; `vocabulary` itself is the start symbol."""

    order: int
    vocabulary: int
    novel: float
    """Probability the lowest order gives to tokens outside the training set, all together."""
    levels: tuple[Level, ...]


def fit(ids: NDArray[np.integer], offsets: Ids, *, order: int, vocabulary: int) -> KneserNey:
    """Count n-grams of documents `ids[offsets[i]:offsets[i + 1]]`. Needs at least one token."""
    stream, inside = _padded(ids, offsets, order, vocabulary)
    radix = vocabulary + 1
    ranked: list[Ids] = []  # ranked[k - 1][i]: id of the k-gram that ends at stream position i
    keys: list[Ids] = []
    for k in range(1, order + 1):
        if k == 1:
            unique = np.flatnonzero(np.bincount(stream, minlength=radix))
            inverse = _places(unique, radix)[stream]
        else:
            codes = np.empty_like(stream)
            codes[0] = 0  # a start symbol; its key stands for nothing
            codes[1:] = ranked[-1][:-1] * radix + stream[1:]
            unique, inverse = np.unique(codes, return_inverse=True)
        keys.append(unique)
        ranked.append(inverse)

    levels: list[Level] = []
    novel = 0.0
    for k in range(1, order + 1):
        ends = inside
        count = np.bincount(ranked[k - 1][ends], minlength=len(keys[k - 1])).astype(np.float64)
        if k < order:
            # Continuation count: in how many different (k+1)-grams is this k-gram the end?
            end_of = np.full(len(keys[k]), -1, dtype=np.int64)
            end_of[ranked[k][ends]] = ranked[k - 1][ends]  # the same wherever the longer one stands
            continuation = np.bincount(end_of[end_of >= 0], minlength=len(keys[k - 1])).astype(np.float64)
            begins = np.zeros(len(keys[k - 1]), dtype=np.bool_)
            if k > 1:
                positions = ends[stream[ends - k + 1] == vocabulary]
                begins[ranked[k - 1][positions]] = True
            count = np.where(begins, count, continuation)
        if k == 1:
            novel = float(np.clip((count == 1).sum() / max(count.sum(), 1.0), MIN_NOVEL, MAX_NOVEL))
            discount = 0.0
            contexts, n_contexts = np.zeros(len(keys[0]), dtype=np.int64), 1
        else:
            n1, n2 = int((count == 1).sum()), int((count == 2).sum())
            discount = float(np.clip(n1 / (n1 + 2 * n2) if n1 else 0.0, MIN_DISCOUNT, MAX_DISCOUNT))
            contexts, n_contexts = keys[k - 1] // radix, len(keys[k - 2])
        discounted = np.where(count > 0, count - discount, 0.0)
        total = np.bincount(contexts, weights=count, minlength=n_contexts).astype(np.float64)
        levels.append(_level(keys[k - 1], discounted, total, radix=0 if k == 1 else radix))
    return KneserNey(order=order, vocabulary=vocabulary, novel=novel, levels=tuple(levels))


def _padded(ids: NDArray[np.integer], offsets: Ids, order: int, vocabulary: int) -> tuple[Ids, Ids]:
    """The documents in one stream, each after `order - 1` start symbols (at least one), and where its tokens are."""
    pad = max(order - 1, 1)
    document = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    inside = np.arange(len(ids), dtype=np.int64) + (document + 1) * pad
    stream = np.full(len(ids) + (len(offsets) - 1) * pad, vocabulary, dtype=np.int64)
    stream[inside] = ids
    return stream, inside


def _places(keys: Ids, size: int) -> Ids:
    """For each number below `size` its place among `keys`, -1 where it is not one of them."""
    places = np.full(size, -1, dtype=np.int64)
    places[keys] = np.arange(len(keys))
    return places


def _find(level: Level, keys: Ids) -> Ids:
    """Id of each key, -1 where the model has no such n-gram."""
    place = np.searchsorted(level.keys, keys)
    place = np.minimum(place, len(level.keys) - 1)
    return np.where(level.keys[place] == keys, place, -1)


def _extend(level: Level, prefix: Ids, token: Ids, radix: int) -> Ids:
    """Id of prefix + token; -1 where the prefix is not known or never followed by the token."""
    return np.where(prefix >= 0, _find(level, prefix * radix + token), -1)


def probabilities(model: KneserNey, ids: NDArray[np.integer], offsets: Ids) -> NDArray[np.float64]:
    """p(token | the tokens before it in its document) for every token; `model.novel`'s share for an unknown one (-1).

    For an unknown token the value is the mass of all unknown tokens together: the caller spells it out.
    """
    radix = model.vocabulary + 1
    stream, inside = _padded(ids, offsets, model.order, model.vocabulary)
    base = model.levels[0]
    known = _find(base, stream)
    # A token that is in the vocabulary but not in the training set is as unknown as any other.
    seen = (known >= 0) & (base.discounted[np.maximum(known, 0)] > 0)
    p = np.where(
        seen, (1.0 - model.novel) * base.discounted[np.maximum(known, 0)] / max(base.total[0], 1.0), model.novel
    )
    gram = known
    for k in range(2, model.order + 1):
        level = model.levels[k - 1]
        context = np.concatenate([[-1], gram[:-1]])
        longer = _extend(level, context, stream, radix)
        has = (context >= 0) & (level.total[np.maximum(context, 0)] > 0)
        safe = np.maximum(context, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            own = np.where(longer >= 0, level.discounted[np.maximum(longer, 0)], 0.0) / level.total[safe]
        p = np.where(has, own + level.backoff[safe] * p, p)
        gram = longer
    return p[inside]


def sample(
    model: KneserNey, lengths: Ids, rng: np.random.Generator, decoding: Decoding | None = None
) -> NDArray[np.int32]:
    """Token ids of documents with the given lengths, one after the other; all documents advance together.

    A decoder other than ancestral sampling needs every token's probability, which costs documents x vocabulary a step.
    """
    plain = decoding is None or decoding == Decoding()
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    out = np.empty(int(offsets[-1]), dtype=np.int32)
    radix = model.vocabulary + 1
    # Longest documents first, so that those still running are always a prefix.
    by_length = np.argsort(-lengths, kind="stable")
    sizes, starts = lengths[by_length], offsets[:-1][by_length]
    place = _places(model.levels[0].keys, radix)
    start_symbol = place[model.vocabulary]
    # contexts[k - 1]: id of the last k tokens, -1 where the model has not seen them in a row.
    contexts = [np.full(len(lengths), start_symbol)]
    for k in range(2, model.order):
        contexts.append(_extend(model.levels[k - 1], contexts[-1], np.full(len(lengths), model.vocabulary), radix))
    for step in range(int(sizes[0]) if len(sizes) else 0):
        running = int(np.searchsorted(-sizes, -step, side="left"))
        contexts = [context[:running] for context in contexts]
        if plain or decoding is None:
            token = _step(model, contexts, rng.random((model.order, running)))
        else:
            token = _decoded(model, contexts, rng.random(running), decoding)
        out[starts[:running] + step] = token
        moved = [place[token]]
        for k in range(2, model.order):
            moved.append(_extend(model.levels[k - 1], contexts[k - 2], token, radix))
        contexts = moved
    return out


def _step(model: KneserNey, contexts: list[Ids], u: NDArray[np.float64]) -> Ids:
    """One next token per document, by descending the orders.

    Each order uses one uniform number: below the kept mass it picks the n-gram there, else the order below decides.
    """
    n = u.shape[1]
    radix = model.vocabulary + 1
    token = np.empty(n, dtype=np.int64)
    undecided = np.arange(n)
    for k in range(model.order, 1, -1):
        level = model.levels[k - 1]
        context = contexts[k - 2][undecided]
        safe = np.maximum(context, 0)
        here = u[k - 1, undecided]
        kept = np.where(context >= 0, 1.0 - level.backoff[safe], 0.0)
        chosen = here < kept
        rows = undecided[chosen]
        low, high = level.start[safe[chosen]], level.start[safe[chosen] + 1]
        # here / total mass is uniform below `kept`, so here * total runs over the context's discounted counts.
        target = level.cumulative[low] + here[chosen] * level.total[safe[chosen]]
        place = np.clip(np.searchsorted(level.cumulative, target, side="right") - 1, low, high - 1)
        token[rows] = level.keys[place] % radix
        undecided = undecided[~chosen]
    base = model.levels[0]
    target = u[0, undecided] * base.cumulative[-1]
    place = np.minimum(np.searchsorted(base.cumulative, target, side="right") - 1, len(base.keys) - 1)
    token[undecided] = base.keys[place]
    return token


def _decoded(model: KneserNey, contexts: list[Ids], u: NDArray[np.float64], decoding: Decoding) -> Ids:
    """One next token per document from the tilted distribution, some documents at a time to bound memory."""
    parts = []
    for first in range(0, len(u), _ROWS):
        p = tilted(distribution(model, [context[first : first + _ROWS] for context in contexts]), decoding)
        below = np.cumsum(p, axis=1) <= u[first : first + _ROWS, None]
        # Rounding may leave the last sum a little under 1: then the last token that has any mass.
        parts.append(np.minimum(below.sum(axis=1), p.shape[1] - 1 - np.argmax(p[:, ::-1] > 0, axis=1)))
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def distribution(model: KneserNey, contexts: list[Ids]) -> NDArray[np.float64]:
    """p(token | context) as sampling has it, shape (contexts, vocabulary); `contexts[k - 1]` are ids of k tokens."""
    base, radix = model.levels[0], model.vocabulary + 1
    unigram = np.zeros(radix)
    unigram[base.keys] = base.discounted / base.cumulative[-1]
    p = np.repeat(unigram[None, :], len(contexts[0]), axis=0)
    for level, context in zip(model.levels[1:], contexts, strict=True):
        rows = np.flatnonzero((context >= 0) & (level.total[np.maximum(context, 0)] > 0))
        known = context[rows]
        low, n = level.start[known], level.start[known + 1] - level.start[known]
        entry = np.arange(n.sum()) + np.repeat(low - (np.cumsum(n) - n), n)
        p[rows] *= level.backoff[known][:, None]
        p[np.repeat(rows, n), level.keys[entry] % radix] += level.discounted[entry] / np.repeat(level.total[known], n)
    return p[:, : model.vocabulary]  # the last column is the start symbol's, which has no mass


def known_tokens(model: KneserNey) -> Ids:
    """Token ids that occur in the training set."""
    base = model.levels[0]
    return base.keys[base.discounted > 0]


def to_arrays(model: KneserNey) -> dict[str, NDArray[np.generic]]:
    """The model as named arrays."""
    arrays: dict[str, NDArray[np.generic]] = {
        "shape": np.array([model.order, model.vocabulary]),
        "novel": np.array([model.novel]),
    }
    for k, level in enumerate(model.levels, start=1):
        arrays |= {f"keys_{k}": level.keys, f"discounted_{k}": level.discounted, f"total_{k}": level.total}
    return arrays


def from_arrays(arrays: dict[str, NDArray[np.generic]]) -> KneserNey:
    """The model `to_arrays` wrote down."""
    order, vocabulary = (int(value) for value in arrays["shape"])
    levels = [
        _level(
            np.asarray(arrays[f"keys_{k}"], dtype=np.int64),
            np.asarray(arrays[f"discounted_{k}"], dtype=np.float64),
            np.asarray(arrays[f"total_{k}"], dtype=np.float64),
            radix=0 if k == 1 else vocabulary + 1,
        )
        for k in range(1, order + 1)
    ]
    return KneserNey(
        order=order, vocabulary=vocabulary, novel=float(np.asarray(arrays["novel"])[0]), levels=tuple(levels)
    )


def _level(keys: Ids, discounted: NDArray[np.float64], total: NDArray[np.float64], *, radix: int) -> Level:
    """A level with what can be recomputed from the rest; `radix` 0 means one context for all."""
    contexts = keys // radix if radix else np.zeros(len(keys), dtype=np.int64)
    kept = np.bincount(contexts, weights=discounted, minlength=len(total))
    with np.errstate(invalid="ignore", divide="ignore"):
        backoff = np.where(total > 0, 1.0 - kept / total, 1.0)
    return Level(
        keys=keys,
        cumulative=np.concatenate([[0.0], np.cumsum(discounted)]),
        start=np.searchsorted(contexts, np.arange(len(total) + 1)),
        total=total,
        backoff=backoff,
        discounted=discounted,
    )
