import re
from html import escape as html_escape
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from rich.console import Console

from drillyard.core import budget
from drillyard.core.errors import UsageError
from drillyard.core.slo import DrillResult, Expectation, FaultMark, Finding, Hypothesis, Verdict
from loadtests.report.charts import Line, chart, ticks
from loadtests.report.page import Section, render
from loadtests.report.scorecard import scorecard
from tests.loadtests.support.builders import make_plan

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def result() -> DrillResult:
    return DrillResult(
        plan=make_plan(p99_ms=25),
        verdict=Verdict.FAIL,
        reasons=("p99 41.2 ms > 25 ms <script>",),
        offered_rps=200,
        goodput_rps=190,
        requests=600,
        errors=3,
        error_counts={"503": 3},
        late_sends=0,
        p50_ms=5,
        p90_ms=20,
        p99_ms=41.2,
        p999_ms=50,
        max_ms=51,
        started_at="2026-01-01T00:00:00+00:00",
        commit="abc123",
        machine="A & B <cpu>, 2 cores",
        series={
            "t_s": [0, 1, 2],
            "sent": [200, 200, 200],
            "ok": [200, 199, 198],
            "errors": [0, 1, 2],
            "p50_ms": [5, 0, 5],
            "p99_ms": [41, 0, 40],
        },
        percentiles=[(0, 1), (50, 5), (90, 20), (99, 41.2), (99.9, 50), (100, 51)],
    )


@pytest.fixture
def struck(result: DrillResult) -> DrillResult:
    """With a fault, a hypothesis and a budget, as a drill with strikes has them."""
    expects = (Expectation(figure="p99_ms", at_most=25), Expectation(figure="extra.nothing", at_least=1))
    findings = (
        Finding(expectation=expects[0], measured=41.2, held=False),
        Finding(expectation=expects[1], measured=None, held=False),
    )
    hypothesis = Hypothesis(text="Nobody <notices>", expects=expects)
    mark = FaultMark(fault="kill <replica>", struck_s=1.0, ended_s=1.0, detected_s=1.5, recovered_s=None)
    return budget.scored(
        result.model_copy(
            update={
                "plan": result.plan.model_copy(update={"hypothesis": hypothesis}),
                "series": {**result.series, "slow": [0, 100, 150]},
                "faults": (mark,),
                "findings": findings,
                "hypothesis_held": False,
            }
        )
    )


class Strict(HTMLParser):
    """Collects tags and attributes; asserts that every element is closed in order."""

    VOID = ("meta", "img", "br", "link")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parse(page: str) -> Strict:
    parser = Strict()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


def test_the_page_is_well_formed_and_refers_to_nothing_outside(result):
    page = render([result], title="A <drill>", sections=[Section(title="Plots", images=[("one", PNG)])])
    for tag, attributes in parse(page).seen:
        assert tag not in ("script", "link", "iframe", "object")
        for name in ("src", "href", "xlink:href", "action"):
            target = attributes.get(name)
            assert target is None or target.startswith(("data:image/", "#"))
    assert not re.search(r"https?://|url\(|@import|//[a-z]", page)


def test_every_word_from_outside_is_escaped(result):
    nasty = "<img src=x onerror=alert(1)>\"'&"
    result = result.model_copy(update={"commit": nasty, "plan": result.plan.model_copy(update={"model": nasty})})
    section = Section(title=nasty, rows=[[nasty], [nasty]], images=[(nasty, PNG)], text=nasty)
    page = render([result], title=nasty, sections=[section])
    assert nasty not in page
    assert [attributes["src"] for tag, attributes in parse(page).seen if tag == "img"] == [
        "data:image/png;base64,iVBORw0KGgo="
    ]
    assert "A &amp; B &lt;cpu&gt;" in page


def test_the_page_carries_machine_commit_n_and_each_bound(result):
    page = render([result], title="t")
    for text in ("2 cores", "abc123", "n = 600", "≤ 25 ms", "41.20 ms", "0.50% (3)", "FAIL", "p99 41.2 ms &gt; 25 ms"):
        assert text in page


def test_each_chart_has_words_for_those_who_cannot_see_it(result):
    page = render([result], title="t")
    svgs = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(svgs) == 3
    for svg in svgs:
        root = ElementTree.fromstring(svg)
        assert root.get("role") == "img"
        assert len(root.get("aria-label", "")) > 40


def test_a_second_without_answers_leaves_a_gap(result):
    latency = re.findall(r"<svg.*?</svg>", render([result], title="t"), re.DOTALL)[0]
    lines = re.findall(r'class="line"[^>]* d="([^"]*)"', latency)
    assert [line.count("M") for line in lines] == [2, 2]


def test_faults_are_shaded_from_the_blow_to_the_recovery_on_each_chart_over_time(struck):
    page = render([struck], title="t")
    parse(page)
    svgs = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert [svg.count('class="band"') for svg in svgs] == [1, 0, 1, 1]
    left, width = map(float, re.findall(r'class="band" x="([\d.]+)" y="\d+" width="([\d.]+)"', svgs[0])[0])
    assert left == pytest.approx(64 + (860 - 64 - 24) * 1 / 2.5, abs=0.1)  # struck at 1 s; the last point is at 2.5 s
    assert left + width == pytest.approx(860 - 24, abs=0.1)  # never recovered
    assert "kill &lt;replica&gt; struck at 1.0 s" in svgs[0]


def test_page_and_scorecard_say_the_same_of_hypothesis_faults_budget_and_alerts(struck):
    words = ["Hypothesis refuted", "Nobody <notices>", "p99_ms", "≤ 25", "41.2", "no such figure", "≥ 1"]
    words += ["Faults", "kill <replica>", "at 1.0 s", "0.5 s", "never"]
    words += ["Error budget", "availability", "3 of 600", "50%", "250 of 597", "4,188%"]
    words += ["Alerts", "1 h / 5 min", "latency", "2 of 2 pages were false"]
    mark = struck.faults[0]
    blind = budget.scored(struck.model_copy(update={"faults": (mark.model_copy(update={"struck_s": 3.5}),)}))
    page, console = render([blind], title="t"), Console(width=150)
    with console.capture() as capture:
        console.print(scorecard([blind]))
    for word in words:
        if word not in ("at 1.0 s", "0.5 s", "never"):
            assert html_escape(word) in page
            assert word in capture.get()
    page = render([struck], title="t")
    for word in ("at 1.0 s", "0.5 s", "never", "0 of 2 pages were false"):
        assert word in page


def test_the_budget_chart_ends_at_what_was_spent(struck):
    chart = re.findall(r"<svg.*?</svg>", render([struck], title="t"), re.DOTALL)[3]
    assert "availability 50% spent; latency 4,188% spent; 2 pages" in chart
    assert re.findall(r'class="mark-label"[^>]*>([^<]*)<', chart) == ["first page"]
    lines = re.findall(r'class="line"[^>]* d="([^"]*)"', chart)
    heights = [float(line.split()[-1]) for line in lines]  # of the last points, from the top
    assert heights[1] < heights[0]


def test_an_image_of_unknown_kind_is_refused_and_svg_is_not(tmp_path):
    (tmp_path / "plot.svg").write_text("<?xml version='1.0'?><svg/>")
    page = render([], title="t", sections=[Section(title="s", images=[("plot", tmp_path / "plot.svg")])])
    assert "data:image/svg+xml;base64," in page
    with pytest.raises(UsageError, match="PNG, JPEG or SVG"):
        render([], title="t", sections=[Section(title="s", images=[("plot", b"GIF89a")])])


@pytest.mark.parametrize(("highest", "last"), [(0, 1), (1, 1), (7, 8), (41.2, 50), (970, 1000), (0.03, 0.03)])
def test_ticks_are_round_and_cover_the_data(highest, last):
    assert ticks(highest)[0] == 0
    assert ticks(highest)[-1] == pytest.approx(last)


def test_an_empty_chart_is_still_a_chart():
    assert "<svg" in chart(
        title="t", description="d", lines=[Line(name="n", colour="--bad", points=[])], x_label="x", y_label="y"
    )


def test_the_scorecard_shows_bounds_and_is_plain_text_outside_a_terminal(result):
    console = Console(width=100, record=True, force_terminal=False, no_color=True)
    with console.capture() as capture:
        console.print(scorecard([result]))
    text = capture.get()
    assert "\x1b" not in text
    for word in ("fraud FAIL", "≤ 25 ms", "41.20 ms", "broken", "kept", "p99 41.2 ms > 25 ms <script>"):
        assert word in text


@pytest.mark.parametrize(("verdict", "colour"), [(Verdict.PASS, "32"), (Verdict.FAIL, "31"), (Verdict.INVALID, "33")])
def test_verdicts_are_coloured_in_a_terminal(result, verdict, colour):
    console = Console(width=100, force_terminal=True, color_system="standard")
    with console.capture() as capture:
        console.print(scorecard([result.model_copy(update={"verdict": verdict})]))
    assert f"\x1b[1;{colour}m{verdict}" in capture.get()
