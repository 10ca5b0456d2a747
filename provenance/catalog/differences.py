"""What entered, left or changed between two versions of a corpus or two snapshots, and why. Knows rows, no texts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from provenance.catalog.corpora import get_corpus
from provenance.catalog.snapshots import SnapshotInfo, get_snapshot
from provenance.errors import UsageError

if TYPE_CHECKING:
    from provenance.catalog.store import Catalog


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One document that is not the same on both sides."""

    doc_id: UUID
    corpus: str
    key: str
    change: str
    """`entered`, `left`, `retagged` or `redescribed`."""
    reason: str


def count_by_reason(found: Sequence[Difference]) -> dict[tuple[str, str], int]:
    """How many documents changed in which way for which reason."""
    return dict(sorted(Counter((d.change, d.reason) for d in found).items()))


def diff(catalog: "Catalog", a: str, b: str) -> list[Difference]:
    """Compare `snapshot:X` with `snapshot:Y`, or two versions of corpora. Raises NotFoundError and UsageError."""
    if a.startswith("snapshot:") != b.startswith("snapshot:"):
        raise UsageError(f"{a!r} and {b!r} are not of one kind", hint="compare two snapshots or two corpora")
    if a.startswith("snapshot:"):
        return diff_snapshots(catalog, get_snapshot(catalog, a), get_snapshot(catalog, b))
    one, two = get_corpus(catalog, a), get_corpus(catalog, b)
    return _documents(catalog, [one.corpus_id], [two.corpus_id])


def diff_snapshots(catalog: "Catalog", a: SnapshotInfo, b: SnapshotInfo) -> list[Difference]:
    """Documents that entered or left between two snapshots, and those whose tag changed."""
    sides = [_corpus_ids(catalog, snapshot) for snapshot in (a, b)]
    return _documents(catalog, *sides) + _tags(catalog, sides[0], sides[1], a.ledger_seq, b.ledger_seq)


def _corpus_ids(catalog: "Catalog", snapshot: SnapshotInfo) -> list[int]:
    """The corpora of a snapshot, those removed since included: their rows are still there."""
    refs = [f"{c['corpus']}@{c['version']}" for c in snapshot.corpora]
    with catalog.read() as con:
        rows = con.execute(
            "SELECT corpus_id FROM corpus WHERE list_contains(?, corpus || '@' || version)", [refs]
        ).fetchall()
    return [row[0] for row in rows]


def _documents(catalog: "Catalog", a: list[int], b: list[int]) -> list[Difference]:
    with catalog.read() as con:
        rows = con.execute(
            """
            WITH one AS (SELECT * FROM document JOIN corpus USING (corpus_id) WHERE list_contains($a, corpus_id)),
            two AS (SELECT * FROM document JOIN corpus USING (corpus_id) WHERE list_contains($b, corpus_id))
            SELECT doc_id, corpus, key, 'left' AS change, CASE
                WHEN corpus NOT IN (SELECT corpus FROM two) THEN 'its corpus is not there'
                WHEN (corpus, text_sha256) IN (SELECT (corpus, text_sha256) FROM two) THEN 'same text, other key'
                WHEN (corpus, key) IN (SELECT (corpus, key) FROM two) THEN 'text changed'
                ELSE 'not in the newer source' END AS reason
            FROM one WHERE doc_id NOT IN (SELECT doc_id FROM two)
            UNION ALL
            SELECT doc_id, corpus, key, 'entered', CASE
                WHEN corpus NOT IN (SELECT corpus FROM one) THEN 'its corpus is new'
                WHEN (corpus, text_sha256) IN (SELECT (corpus, text_sha256) FROM one) THEN 'same text, other key'
                WHEN (corpus, key) IN (SELECT (corpus, key) FROM one) THEN 'text changed'
                ELSE 'not in the older source' END
            FROM two WHERE doc_id NOT IN (SELECT doc_id FROM one)
            UNION ALL
            SELECT doc_id, two.corpus, two.key, 'redescribed', array_to_string(list_filter([
                CASE WHEN one.declared_origin IS DISTINCT FROM two.declared_origin
                    THEN 'another origin declared: ' || coalesce(two.declared_origin, 'none') END,
                CASE WHEN one.declared_generator IS DISTINCT FROM two.declared_generator
                    THEN 'another generator declared: ' || coalesce(two.declared_generator, 'none') END,
                CASE WHEN one.created_at IS DISTINCT FROM two.created_at THEN 'another date' END,
                CASE WHEN one.subgroup IS DISTINCT FROM two.subgroup THEN 'another subgroup' END,
                CASE WHEN one.language IS DISTINCT FROM two.language THEN 'another language' END,
                CASE WHEN one.meta IS DISTINCT FROM two.meta THEN 'other metadata' END], lambda x: x IS NOT NULL), '; ')
                AS reason
            FROM one JOIN two USING (doc_id) WHERE reason <> ''
            ORDER BY change, reason, corpus, key
            """,
            {"a": a, "b": b},
        ).fetchall()
    return [Difference(doc_id=row[0], corpus=row[1], key=row[2], change=row[3], reason=row[4]) for row in rows]


def _tags(catalog: "Catalog", a: list[int], b: list[int], seq_a: int, seq_b: int) -> list[Difference]:
    """Documents of both sides whose tag as of one ledger entry is not that as of the other, and what changed it."""
    with catalog.read() as con:
        rows = con.execute(
            """
            WITH history AS (
                SELECT doc_id, origin, basis, rule, command, seq FROM tag_history_row
                JOIN ledger_entry USING (activity_id) JOIN activity USING (activity_id)
                WHERE doc_id IN (SELECT doc_id FROM document WHERE list_contains($a, corpus_id))
                    AND doc_id IN (SELECT doc_id FROM document WHERE list_contains($b, corpus_id))),
            one AS (SELECT doc_id, max_by({'origin': origin, 'basis': basis}, seq) AS tag FROM history
                    WHERE seq <= $seq_a GROUP BY doc_id),
            two AS (SELECT doc_id, max_by({'origin': origin, 'basis': basis}, seq) AS tag, max_by(rule, seq) AS rule,
                    max_by(command, seq) AS command FROM history WHERE seq <= $seq_b GROUP BY doc_id)
            SELECT two.doc_id, corpus, key, two.command || ': '
                || coalesce(one.tag.origin || ' (' || one.tag.basis || ')', 'untagged') || ' to '
                || two.tag.origin || ' (' || two.tag.basis || ', ' || two.rule || ')'
            FROM two LEFT JOIN one USING (doc_id)
            JOIN document USING (doc_id) JOIN corpus USING (corpus_id)
            WHERE list_contains($b, corpus_id) AND one.tag IS DISTINCT FROM two.tag
            ORDER BY corpus, key
            """,
            {"a": a, "b": b, "seq_a": seq_a, "seq_b": seq_b},
        ).fetchall()
    return [Difference(doc_id=row[0], corpus=row[1], key=row[2], change="retagged", reason=row[3]) for row in rows]
