"""Which human texts a model text is compared with, and what comes of it: by hand, and where subject and label agree."""

import numpy as np
from scipy.sparse import csr_matrix

from provenance.detectors.fisher import Design, fit_fisher
from provenance.detectors.matching import NEAREST, matched, nearest_humans

# Two subjects of three words each; the seventh word is what models like.
FRUIT, METAL, LIKED = [0, 1, 2], [3, 4, 5], 6


def rows_of(*texts: list[int]) -> csr_matrix:
    found = np.zeros((len(texts), 7))
    for row, words in zip(found, texts, strict=True):
        row[words] = 1.0
    return csr_matrix(found)


def test_a_text_is_compared_with_those_about_the_same_things() -> None:
    words = rows_of(*[FRUIT] * 12, *[METAL] * 12, [*FRUIT, LIKED], [*METAL, LIKED])
    near = nearest_humans(words, np.arange(24), np.array([24, 25]))
    assert near.shape == (2, NEAREST)
    assert (near[0] < 12).all()
    assert (near[1] >= 12).all()


def test_fewer_humans_than_asked_for_leave_gaps_and_none_leaves_nothing() -> None:
    words = rows_of(FRUIT, METAL, FRUIT)
    near = nearest_humans(words, np.array([0, 1]), np.array([2]))
    assert sorted(near[0][:2].tolist()) == [0, 1]
    assert (near[0][2:] == -1).all()
    assert (nearest_humans(words, np.array([], dtype=np.int64), np.array([2])) == -1).all()
    assert nearest_humans(words, np.array([0]), np.array([], dtype=np.int64)).shape == (0, NEAREST)


def test_only_a_model_text_whose_domain_has_few_human_texts_is_lone() -> None:
    is_model = np.array([False] * 12 + [True, True, True])
    groups = ["stories"] * 10 + ["letters"] * 2 + ["stories/a", "letters/a", "answers/a"]
    assert Design.of(is_model, groups).lone.tolist() == [13, 14]


def test_who_is_left_out_is_no_longer_compared_with() -> None:
    design = Design(
        is_model=np.array([False, False, False, True]),
        groups=np.array(["a", "a", "b", "c/m"]),
        nearest=np.array([[-1, -1], [-1, -1], [-1, -1], [2, 0]]),
    )
    assert design.take(np.array([0, 3])).nearest.tolist() == [[-1, -1], [-1, 0]]
    assert design.take(np.array([2, 0, 3])).nearest.tolist() == [[-1, -1], [-1, -1], [0, 1]]


def test_a_subject_that_only_models_write_about_is_not_taken_for_their_voice() -> None:
    """All answers are about metal, most human texts about fruit: metal must not become what gives a model away."""
    rng = np.random.default_rng(0)
    subjects = [FRUIT] * 90 + [METAL] * 30 + [METAL] * 60
    is_model = np.arange(180) >= 120
    dense = rows_of(*subjects).toarray() * rng.integers(1, 3, (180, 7))
    dense[:, LIKED] = rng.random(180) < np.where(is_model, 0.8, 0.2)
    words = csr_matrix(dense)
    groups = ["mixed"] * 120 + ["answers/m"] * 60
    apart = fit_fisher(words, Design.of(is_model, groups), ridge=0.1)
    design = matched(words, is_model, groups)
    assert set(design.nearest[is_model].ravel().tolist()) <= set(range(90, 120))
    together = fit_fisher(words, design, ridge=0.1)

    def subject_beside_voice(weights: np.ndarray) -> float:
        return float((weights[METAL].mean() - weights[FRUIT].mean()) / weights[LIKED])

    assert abs(subject_beside_voice(together)) < 0.1
    assert subject_beside_voice(apart) > 0.3


def test_without_human_texts_nobody_is_compared_with() -> None:
    design = matched(rows_of(FRUIT, METAL), np.array([True, True]), None)
    assert design.lone.tolist() == [0, 1]
    assert (design.nearest == -1).all()
