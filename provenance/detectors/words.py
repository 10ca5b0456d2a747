"""The word lists of `words.toml`, in the order that trained weights rely on. Knows no text."""

import tomllib
from importlib.resources import files

_LISTS = tomllib.loads(files("provenance.detectors").joinpath("words.toml").read_text(encoding="utf-8"))

FUNCTION_WORDS: tuple[str, ...] = tuple(_LISTS["function"].split())
"""Grammar words and very common words."""
SUFFIXES: tuple[str, ...] = tuple(_LISTS["suffixes"].split())
"""Word endings that hint at a part of speech."""
LEXICA: dict[str, tuple[str, ...]] = {name: tuple(words.split()) for name, words in _LISTS["families"].items()}
"""Families of words, each one feature."""
