"""All checks of `experiment theory`, in order. Knows the check files; judging is in checks.py."""

from collections.abc import Iterator

from provenance.recursion.theory import checks_discrete, checks_gaussian, checks_other, checks_web
from provenance.recursion.theory.checks import Check, Effort


def run_checks(*, quick: bool, seed: int = 0) -> Iterator[Check]:
    """Quick mode takes under a minute on two cores; otherwise replicas are 16 times as many."""
    effort = Effort(scale=1 if quick else 16, seed=seed)
    for module in (checks_gaussian, checks_web, checks_discrete, checks_other):
        for group in module.GROUPS:
            yield from group(effort)
