"""Numbers in prose: which of them count, whether they agree, and how they are renewed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from designs import binding
from designs.figures import Figure, shown


def figures(**values: float) -> dict[str, Figure]:
    return {
        key.replace("__", "."): Figure(key=key, value=value, unit="", says="", origin="input", source="")
        for key, value in values.items()
    }


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It takes 5 ms.", ["5"]),
        ("1,234.5 of 7%", ["1,234.5", "7"]),
        ("1.3x PCA, 50ms, 2x", ["1.3", "50", "2"]),
        ("three times as fast, a tenfold gain, twenty percent", ["three times", "tenfold", "twenty percent"]),
        ("p99 of int8 on CIFAR-10 by ResNet-9, V28", []),
        ("run `drill --rate 300`, see [x](y-2.md) and https://x.org/7", []),
        ("```\n5 of 6\n```\n1. first\n2. second\n<b>3</b>", ["3"]),
        ("two replicas in three zones", []),
        ("0.73<!--ap--> and 4<!--n--> but 5 <!-- a note with 6 -->", ["5"]),
        ("|a|8|", ["8"]),
        ("a < 3 and b > 4", ["3", "4"]),
    ],
)
def test_what_counts_as_a_number(text: str, found: list[str]) -> None:
    assert [words for _, words in binding.unbound(text)] == found


def test_lines_are_those_of_the_file() -> None:
    text = "a\n```\n1\n```\n2 and\n3<!--k-->"
    assert binding.unbound(text) == [(5, "2")]
    assert [(bound.line, bound.text, bound.key) for bound in binding.bindings(text)] == [(6, "3", "k")]


@pytest.mark.parametrize(
    ("text", "value", "agrees"),
    [
        ("0.73<!--k-->", 0.7281, True),
        ("0.72<!--k-->", 0.7281, False),
        ("0.728<!--k-->", 0.7281, True),
        ("73%<!--k*100-->", 0.7281, True),
        ("73<!--k*100-->%", 0.7281, True),
        ("1.4<!--k/1e6-->", 1_384_000, True),
        ("4,797<!--k-->", 4797.2, True),
        ("4797<!--k-->", 4797.2, False),
        ("4,800<!--k-->", 4797.2, True),
        ("5,000<!--k-->", 4797.2, False),
        ("4,700<!--k-->", 4797.2, False),
        ("100<!--k-->", 96.0, False),
        ("60<!--k-->", 57.0, False),
        ("0<!--k-->", 0.0, True),
        ("0<!--k-->", 0.4, True),
        ("-5<!--k-->", -5.0, True),
        ("-5<!--k-->", 5.0, False),
        ("| -0.21<!--k--> |", -0.2119, True),
        ("4-5<!--k-->", 5.0, True),
    ],
)
def test_a_number_agrees_when_its_source_rounds_to_it(text: str, value: float, agrees: bool) -> None:
    (bound,) = binding.bindings(text)
    assert bound.agrees(value) is agrees


def test_templates_are_written_bound() -> None:
    known = figures(ap=0.7281, ap__low=0.7, rps=4797.2)
    text = binding.fill("{ap|.2f} from {ap.low|.1f}, {ap*100|.0f}%, {rps}", known)
    assert text == "0.73<!--ap--> from 0.7<!--ap.low-->, 73<!--ap*100-->%, 4,797<!--rps-->"
    assert binding.unbound(text) == []
    assert binding.keys("{ap|.2f} and {x}") == {"ap", "x"}
    with pytest.raises(KeyError):
        binding.fill("{x}", known)


@settings(derandomize=True, max_examples=200)
@given(st.floats(min_value=1e-3, max_value=1e9) | st.floats(min_value=-1e9, max_value=-1e-3))
def test_what_is_written_agrees_with_its_source(value: float) -> None:
    known = figures(k=value)
    for template in ("{k}", "{k|.2f}", "{k|,.0f}"):
        if template != "{k}" and abs(value) >= 1000:
            continue  # thousands are written with commas
        assert all(bound.agrees(value) for bound in binding.bindings(binding.fill(template, known)))
    assert shown(value)


def test_numbers_are_renewed_as_they_were_rounded_and_words_stay() -> None:
    text = "p99 of 4.5<!--p--> ms at 4,800<!--rps-->; 3 left, 1<!--gone-->"
    assert (
        binding.rewrite(text, figures(p=5.123, rps=5213.0))
        == "p99 of 5.1<!--p--> ms at 5,200<!--rps-->; 3 left, 1<!--gone-->"
    )


def test_readers_see_no_keys() -> None:
    assert binding.without_comments("0.73<!--ap--> is it") == "0.73 is it"
