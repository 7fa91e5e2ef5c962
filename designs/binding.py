"""Numbers in prose, each bound to the figure it stands for: `0.73<!--average_precision-->`.

The key follows its number in an HTML comment. GitHub shows no comment, a terminal's Markdown neither, so readers see
plain text; who edits the file sees number and source side by side, and a diff shows both. `<!--share*100-->` and
`<!--users/1e6-->` scale the figure to the words around it.

What counts as a number: digits at the start of a word, with a minus before them, outside of code, comments, link
targets and list counters. `p99`, `int8` and `CIFAR-10` are names. Spelt-out factors ("three times", "tenfold") are
claims too, and are refused. In texts of `design.py`, `{key}` or `{key*100|.1f}` is written as number and comment.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import floor, log10

from designs.figures import Figure, shown

_NUMBER = re.compile(r"(?<![\w.,-])-?\d[\d,]*(?:\.\d+)?")
_KEY = r"(?P<key>[a-z]\w*(?:\.\w+)?)(?:(?P<sign>[*/])(?P<scale>[\d.e]+))?"
_BOUND = re.compile(rf"(?P<number>(?:(?<![\w.,>-])-)?\d[\d,]*(?:\.\d+)?)%?<!--{_KEY}-->")
_WORDS = re.compile(
    r"\b(?:two|three|four|five|six|seven|eight|nine|ten|twelve|twenty|dozen|hundred|thousand)s?[ -]"
    r"(?:times|fold|percent)\b|\b(?:two|three|four|five|ten|hundred)fold\b",
    re.IGNORECASE,
)
_NO_PROSE = re.compile(
    r"```.*?```|`[^`\n]*`|<!--.*?-->|\]\([^)]*\)|https?://\S+|</?[a-z][^>]*>|^[ ]*\d+\. ", re.DOTALL | re.MULTILINE
)
_PLACE = re.compile(rf"\{{{_KEY}(?:\|(?P<form>[^}}]+))?\}}")


@dataclass(frozen=True, kw_only=True)
class Binding:
    """One number of a text and the figure that it claims to be."""

    line: int
    text: str  # as it stands there: `4,800`
    key: str
    factor: float  # what the figure is multiplied by

    def agrees(self, value: float) -> bool:
        """Whether the text is the value, rounded as the text is."""
        return _rounded_like(self.text, value * self.factor) == self.text


def bindings(text: str) -> list[Binding]:
    """Every bound number, in order."""
    return [
        Binding(
            line=text.count("\n", 0, match.start()) + 1,
            text=match["number"],
            key=match["key"],
            factor=_factor(match),
        )
        for match in _BOUND.finditer(text)
    ]


def unbound(text: str) -> list[tuple[int, str]]:
    """Line and text of every number or spelt-out factor that no key follows."""
    blank = _NO_PROSE.sub(_spaces, _BOUND.sub(_spaces, text))
    found = [(match.start(), match.group()) for pattern in (_NUMBER, _WORDS) for match in pattern.finditer(blank)]
    return [(text.count("\n", 0, start) + 1, words) for start, words in sorted(found)]


def fill(template: str, figures: Mapping[str, Figure]) -> str:
    """A text of `design.py` with its figures written and bound. Raises KeyError on an unknown key."""

    def write(match: re.Match[str]) -> str:
        value = figures[match["key"]].value * _factor(match)
        scale = (match["sign"] or "") + (match["scale"] or "")
        number = format(value, match["form"]) if match["form"] else shown(value)
        return f"{number}<!--{match['key']}{scale}-->"

    return _PLACE.sub(write, template)


def keys(template: str) -> set[str]:
    """The figures that a text of `design.py` names."""
    return {match["key"] for match in _PLACE.finditer(template)}


def rewrite(text: str, figures: Mapping[str, Figure]) -> str:
    """The text with every bound number renewed, rounded as before."""

    def renew(match: re.Match[str]) -> str:
        if match["key"] not in figures:
            return match.group()
        number = _rounded_like(match["number"], figures[match["key"]].value * _factor(match))
        return number + match.group()[len(match["number"]) :]

    return _BOUND.sub(renew, text)


def without_comments(text: str) -> str:
    """The text as readers see it."""
    return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


def _factor(match: re.Match[str]) -> float:
    scale = float(match["scale"] or 1)
    return 1 / scale if match["sign"] == "/" else scale


def _rounded_like(text: str, value: float) -> str:
    """The value with as many decimals; a whole number that ends in zeros with as many digits, at least two."""
    decimals = len(text.partition(".")[2])
    rounded = Decimal(value)  # exactly, as format() rounds it
    digits = text.replace(",", "")
    if not decimals and digits.endswith("0") and value:
        significant = max(2, len(digits.rstrip("0")))
        places = floor(log10(abs(value))) + 1 - significant
        if places > 0:
            rounded = (rounded / 10**places).to_integral_value() * 10**places
    number = f"{rounded:.{decimals}f}"
    return f"{Decimal(number):,}" if "," in text or len(number.partition(".")[0]) > 3 else number


def _spaces(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match.group())
