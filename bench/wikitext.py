"""Paragraphs of WikiText-2 as JSON lines, from the file of tokens that the set is published as. Knows no model.

    python bench/wikitext.py wiki.train.tokens[.xz] [--articles N] > wikitext2.jsonl

A paragraph is a line of at least 30 words that is no heading; its key is its article's title and its number there.
"""

import argparse
import json
import lzma
import re
from collections.abc import Iterator
from pathlib import Path

HEADING = re.compile(r"(=+ )(.*?)( =+)")
LEAST_WORDS = 30


def paragraphs(path: Path, articles: int | None) -> Iterator[dict[str, str]]:
    """The paragraphs of the first `articles` articles."""
    title, number, seen = "", 0, 0
    with lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else path.open(encoding="utf-8") as lines:
        for line in map(str.strip, lines):
            heading = HEADING.fullmatch(line)
            if heading and not heading[2].startswith("="):
                title, number, seen = heading[2], 0, seen + 1
                if articles is not None and seen > articles:
                    return
            elif not heading and len(line.split()) >= LEAST_WORDS:
                yield {"id": f"{title}/{number}", "text": line, "article": title}
                number += 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokens", type=Path)
    parser.add_argument("--articles", type=int)
    asked = parser.parse_args()
    for paragraph in paragraphs(asked.tokens, asked.articles):
        print(json.dumps(paragraph, ensure_ascii=False))
