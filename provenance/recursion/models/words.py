"""Words as integers: a lossless split of text, and batches of documents as one flat array. Knows no model.

The tokens of a text, joined, are the text. A batch is `{"ids": int32[total], "offsets": int64[documents + 1]}`; ids
index the vocabulary of the real texts, and -1 is a token that is not in it.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from provenance.plugins import Arrays

_TOKEN = re.compile(r" ?\w+| ?[^\w\s]+|\s")


def split(text: str) -> list[str]:
    """The tokens of `text`; `"".join(split(text)) == text`."""
    return _TOKEN.findall(text)


class Vocabulary:
    """The different tokens of some texts, in order of first appearance."""

    def __init__(self, texts: Sequence[str]) -> None:
        index: dict[str, int] = {}
        for text in texts:
            for token in split(text):
                index.setdefault(token, len(index))
        self._index = index
        self.tokens = list(index)

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, texts: Sequence[str]) -> Arrays:
        """A batch with one document per text; tokens outside the vocabulary become -1."""
        index = self._index
        ids = [np.array([index.get(token, -1) for token in split(text)], dtype=np.int32) for text in texts]
        return pack(ids)

    def numbers(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """All tokens of the texts in a row; those outside the vocabulary have numbers of their own behind it."""
        index = dict(self._index)
        return np.array(
            [index.setdefault(token, len(index)) for text in texts for token in split(text)], dtype=np.int64
        )

    def decode(self, batch: Arrays) -> list[str]:
        """The texts of a batch without unknown tokens."""
        tokens, ids = self.tokens, batch["ids"].tolist()
        offsets = batch["offsets"].tolist()
        return ["".join([tokens[i] for i in ids[start:end]]) for start, end in pairwise(offsets)]


def pack(documents: Sequence[NDArray[np.int32]]) -> Arrays:
    """A batch from one id array per document."""
    lengths = [len(document) for document in documents]
    ids = np.concatenate(documents) if documents else np.empty(0, dtype=np.int32)
    return {"ids": ids.astype(np.int32), "offsets": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)}


def lengths(batch: Arrays) -> NDArray[np.int64]:
    """Tokens of each document."""
    return np.diff(batch["offsets"])


def take(batch: Arrays, rows: NDArray[np.int64]) -> Arrays:
    """The documents `rows` of a batch, in that order."""
    sizes = lengths(batch)[rows]
    ends = np.cumsum(sizes)
    # Where each output token sits in the input: the row's start plus its place within the row.
    source = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(batch["offsets"][rows] - (ends - sizes), sizes)
    return {"ids": batch["ids"][source], "offsets": np.concatenate([[0], ends]).astype(np.int64)}


def concatenate(batches: Sequence[Arrays]) -> Arrays:
    """All documents of several batches."""
    ids = np.concatenate([batch["ids"] for batch in batches])
    sizes = np.concatenate([lengths(batch) for batch in batches])
    return {"ids": ids, "offsets": np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)}
