"""Constraints over features: what they mean, what two of them have in common, what is refused."""

import re

import pytest

from ostler.model.constraint import parse, typed
from ostler.model.errors import UsageError
from ostler.model.features import is_feature
from ostler.model.limits import MAX_CONSTRAINT, MAX_NESTED


@pytest.mark.parametrize(
    ("text", "features", "holds"),
    [
        ("", "", True),
        ("a", "a b", True),
        ("a", "b", False),
        ("!a", "", True),
        ("!!a", "a", True),
        ("a&b", "a b", True),
        ("a&b", "a", False),
        ("a|b", "b", True),
        ("a|b&c", "a", True),  # & binds closer
        ("(a|b)&c", "a", False),
        ("a&!b", "a", True),
        ("a&!b", "a b", False),
        ("!(a|b)", "c", True),
        ("!(a|b)", "b", False),
        (" a & ( b | c ) ", "a c", True),
        ("rack=4", "rack=4", True),
        ("x*2&y*1", "", True),  # groups bar no node
        ("z&x*2", "x", False),
    ],
)
def test_a_node_with_these_features_is_one_that_is_meant(
    text: str, features: str, *, holds: bool
) -> None:
    assert parse(text).matches(set(features.split())) is holds


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("b&a", "a&b"),
        ("a&(b&c)", "a&b&c"),
        ("(a)|a", "a"),
        ("!(!a)", "a"),
        ("a&(b|c)", "a&(b|c)"),
        ("(a&b)|c", "a&b|c"),
        ("!(a&b)", "!(a&b)"),
        ("[rack2*1 & rack1*2]", "rack1*2&rack2*1"),
        ("x*1&x*1", "x*2"),
        ("(a|b)*2&c", "c&(a|b)*2"),
        ("(a|b)&c*2", "(a|b)&c*2"),
        ("a&[b*1]", "a&b*1"),
    ],
)
def test_constraints_that_differ_in_writing_only_have_one_text(text: str, same: str) -> None:
    assert parse(text).text == same
    assert parse(parse(text).text) == parse(text)


def test_a_node_counts_for_each_group_whose_features_it_has() -> None:
    found = parse("a*2&(b|c)*1&!a*3")
    assert found.text == "!a*3&a*2&(b|c)*1"
    assert found.nodes == 6
    assert [found.member(set(f.split())) for f in ("a", "c", "a b", "")] == [2, 5, 6, 1]
    assert parse("b&!c&a&(d|e)").needed == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a&&b", "the constraint 'a&&b' has '&' at character 3 (expected: the name of a feature"),
        ("a&", "the constraint 'a&' ends too early"),
        ("a b", "has 'b' at character 3 (expected: &, | or the end)"),
        ("(a", "ends too early (expected: &, | or ))"),
        ("a)", "has ')' at character 2"),
        ("a*0", "has '0' at character 3 (expected: a number of nodes from 1 to"),
        ("a*", "ends too early (expected: a number of nodes"),
        ("a*99999999999999", "at character 3"),
        ("a*1|b*1", "has '|' at character 4 (expected: & beside a count, as in"),
        ("a|b*1", "has '|' at character 2 (expected: & beside a count, as in"),
        ("(a*1)", "has '*' at character 3 (expected: &, | or ))"),
        ("!a*1&(b&c*2)", "has '*' at character 10"),
        ("[a|b]", "a count behind each term in [ ]"),
        ("[a*1", "ends too early (expected: ])"),
        ("[[a*1]]", "has '[' at character 2"),
        ("a\nb", r"has '\n' at character 2"),
        ("é", "at character 1"),
        (
            "&".join(["a*1"] + [f"x{n}*1" for n in range(16)]),
            "counts 17 groups of nodes (most: 16)",
        ),
        ("a" * (MAX_CONSTRAINT + 1), "the constraint is too long: 1001 characters (most: 1000)"),
        ("!" * (MAX_NESTED + 1) + "a", "at most 20 parentheses and ! in one another"),
        ("(" * 900 + "a", "at most 20 parentheses and ! in one another"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_place(text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=re.escape(sentence)):
        typed(text)


def test_a_feature_is_a_word_that_a_constraint_can_name() -> None:
    good = ["a100", "rack=4", "cpu:skylake", "x86_64", "4x", "_y", "ib-200.1"]
    assert [name for name in good if is_feature(name) and parse(name).text == name] == good
    assert not any(is_feature(x) for x in ("", "a b", "a&b", "-x", "*", "é", "a,b", "a" * 201))
