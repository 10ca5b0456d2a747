"""`experiment theory`: its laws hold against the engine, its controls are rejected, and a failure is an exit code."""

from provenance.recursion.theory import checks_discrete, checks_gaussian, checks_other
from provenance.recursion.theory import run as theory
from provenance.recursion.theory.checks import Check, Effort


def test_theory_holds_and_its_controls_are_rejected():
    effort = Effort(scale=1, seed=0)
    groups = (checks_gaussian.golden, checks_gaussian.temperature, checks_discrete.decoding, checks_other.kernel)
    checks = [check for group in groups for check in group(effort)]
    assert all(check.ok for check in checks)
    assert any(check.control for check in checks)


def test_a_theory_that_does_not_hold_is_exit_code_1(run, monkeypatch):
    def wrong(**_):
        yield Check(id="T1", what="a law", predicted=1.0, simulated=2.0, stderr=0.1)
        yield Check(id="T1-", what="a control", predicted=1.0, simulated=1.1, stderr=0.1, control=True)

    monkeypatch.setattr(theory, "run_checks", wrong)
    result = run("experiment", "theory", "--quick")
    assert result.exit_code == 1
    assert "2 of 2 rows" in result.stderr
