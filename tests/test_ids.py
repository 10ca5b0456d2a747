"""Identity and randomness: contracts that other catalogs and locks rely on."""

import hashlib
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance import ids, seeds


def test_a_document_id_is_the_hash_of_canonical_json_written_out_by_hand() -> None:
    digest = ids.sha256_text("hello")
    body = b'{"corpus":"books","key":"a:1","text_sha256":"' + digest.hex().encode() + b'"}'
    assert ids.document_id("books", "a:1", digest) == UUID(bytes=hashlib.sha256(body).digest()[:16])


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_the_fast_document_id_equals_the_one_through_canonical_json(corpus: str, key: str) -> None:
    digest = ids.sha256_text("x")
    body = ids.canonical_json({"text_sha256": digest.hex(), "key": key, "corpus": corpus})
    assert ids.document_id_bytes(corpus, key, digest) == hashlib.sha256(body).digest()[:16]


def test_canonical_json_sorts_keys_and_keeps_unicode() -> None:
    assert ids.canonical_json({"b": [1, True, None], "a": "é"}) == '{"a":"é","b":[1,true,null]}'.encode()


@pytest.mark.parametrize("value", [1.5, {1: "a"}, {"a": {2.0}}, b"raw", [object()]])
def test_what_has_no_stable_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        ids.canonical_json(value)


def test_fingerprints_name_their_algorithm() -> None:
    assert ids.fingerprint({}) == "sha256:" + hashlib.sha256(b"{}").hexdigest()


def test_streams_with_the_same_names_agree_and_others_differ() -> None:
    first, again, other = seeds.stream(7, "sample", 3), seeds.stream(7, "sample", 3), seeds.stream(7, "sample", 4)
    draws = first.random(4).tolist()
    assert again.random(4).tolist() == draws
    assert other.random(4).tolist() != draws


def test_names_are_not_run_together() -> None:
    assert seeds.integer(0, "ab", "c") != seeds.integer(0, "a", "bc")
