"""The share language: what a policy file may say, and which key is wrong when it may not."""

import pytest

from provenance.errors import ConfigError, NotFoundError
from provenance.mixing.policy import load_policy, parse_policy, shipped_policies


def policy(**tables):
    return parse_policy({"name": "mine", "share": [{"where": "true", "share": 1.0}], **tables}, "mine.toml")


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"shares": []}, r"mine\.toml: unknown key 'shares'"),
        ({"share": [{"wher": "true", "share": 1.0}]}, r"mine\.toml: unknown key 'share\[1\]\.wher'"),
        ({"share": [{"where": "true", "share": 0.5}]}, r"the shares sum to 0\.5, not 1"),
        ({"share": [{"where": "true"}]}, r"share\[1\]: needs exactly one of 'share' and 'take'"),
        ({"share": [{"where": "true", "share": 1.0, "take": "all"}]}, r"share\[1\]: needs exactly one"),
        ({"share": [{"where": "true", "share": 2.0}]}, r"share\[1\]\.share: .*less than or equal to 1, got 2\.0"),
        ({"share": []}, "share: "),
        ({"budget": {"documents": 0}}, r"budget\.documents: .*, got 0"),
        ({"budget": {"documents": 5, "tokens": 5}}, "budget: give 'documents' or 'tokens'"),
        ({"budget": {"on_shortfall": "guess"}}, r"budget\.on_shortfall: .*, got 'guess'"),
        ({"name": "Not A Name"}, "name: .*, got 'Not A Name'"),
        ({"from": "web"}, "from: "),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_file(tables, message):
    with pytest.raises(ConfigError, match=message):
        policy(**tables)


def test_shares_that_do_not_sum_are_one_line_and_a_hint():
    with pytest.raises(ConfigError) as caught:
        policy(share=[{"where": "true", "share": 0.9}, {"where": "true", "share": 0.3}])
    assert str(caught.value) == "mine.toml: the shares sum to 1.2, not 1"
    assert "fractions of the budget" in caught.value.hint


def test_an_unknown_key_suggests_the_nearest():
    with pytest.raises(ConfigError) as caught:
        policy(bugdet={"documents": 5})
    assert caught.value.hint == "did you mean 'budget'?"


def test_a_key_of_another_table_is_not_suggested_where_it_does_not_belong():
    with pytest.raises(ConfigError, match=r"unknown key 'share\[1\]\.name'") as caught:
        policy(share=[{"name": "a", "where": "true", "share": 1.0}])
    assert caught.value.hint == "known keys here: by, epochs, order, quotas, share, take, weight, where"


def test_shares_divide_what_the_take_lines_leave_and_must_still_sum_to_one():
    mixed = policy(share=[{"where": "a", "take": "all"}, {"where": "b", "share": 1.0}])
    assert [share.take for share in mixed.shares] == ["all", None]


def test_every_shipped_policy_loads_under_its_own_name_and_says_what_it_shows():
    for name in shipped_policies():
        shipped = load_policy(name)
        assert shipped.name == name
        assert shipped.description


def test_an_unknown_policy_lists_the_shipped_ones():
    with pytest.raises(NotFoundError) as caught:
        load_policy("repalce")
    assert "replace" in caught.value.hint


def test_a_policy_file_is_looked_up_beside_the_experiment(tmp_path):
    (tmp_path / "mine.toml").write_text('name = "mine"\n[[share]]\nwhere = "age = 1"\nshare = 1.0\n')
    assert load_policy("mine.toml", folder=tmp_path).name == "mine"
    with pytest.raises(ConfigError, match=r"absent\.toml: no such file"):
        load_policy("absent.toml", folder=tmp_path)


def test_a_file_that_is_not_toml_is_an_error_with_its_name(tmp_path):
    (tmp_path / "bad.toml").write_text("name = mine")
    with pytest.raises(ConfigError, match=r"bad\.toml: not TOML"):
        load_policy("bad.toml", folder=tmp_path)
