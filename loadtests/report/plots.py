"""A chart of a drill as a picture file of its own: an SVG that brings its colours along, for light and dark pages."""

import re
from pathlib import Path

from drillyard.core.slo import DrillResult
from loadtests.catalogue import omission
from loadtests.report import result_charts
from loadtests.report.charts import HEIGHT, LEFT, WIDTH, Line, chart

_STYLE_FILE = Path(__file__).parent / "report.css"  # its variables follow the reader's light or dark page
_LEGEND_HEIGHT, _SWATCH, _LETTER, _GAP = 24, 18, 7, 24  # px
_LEGEND = re.compile(r'background:var\((--[\w-]+)\)"></i>([^<]*)<')  # as `charts.chart` writes it


def of(result: DrillResult) -> str:
    """The figure that shows what this drill is about (HTML with inline SVG)."""
    if "omission" in result.extra:
        return omission.plot(result)
    return search(result) if "search" in result.extra else latency(result)


def search(result: DrillResult) -> str:
    """The p99 of each try over its rate, and the promised bound."""
    found, bound_ms = result.extra["search"], result.plan.slo.p99_ms
    points = sorted((each["rate_rps"], each["p99_ms"]) for each in found["tries"] if each["p99_ms"] is not None)
    return chart(
        title=f"{result.plan.name} of {result.plan.model}",
        description=f"The highest valid rate was {found['highest_rps']:.0f} requests/s.",
        lines=[Line(name="p99", colour="--bad", points=points)],
        x_label="rate, requests/s",
        y_label="latency, ms",
        bound=(f"p99 bound {bound_ms:g} ms", bound_ms),
    )


def latency(result: DrillResult) -> str:
    """Median and 99th percentile of each second, the promised bound, and faults (HTML with inline SVG)."""
    return result_charts.latency(result, title=f"{result.plan.name} of {result.plan.model}")


def standalone(figure: str) -> str:
    """A chart's picture as the text of an SVG file, its legend above."""
    begin, end = figure.index("<svg"), figure.index("</svg>")
    opening, body = figure[begin:end].split(">", 1)
    label = opening.split('aria-label="', 1)[1].rstrip('"')
    box = f"0 {-_LEGEND_HEIGHT} {WIDTH + _GAP} {HEIGHT + _LEGEND_HEIGHT}"  # the last tick's label reaches out
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" '
        f'role="img" aria-label="{label}"><style>{_STYLE_FILE.read_text()}</style>{_legend(figure)}{body}</svg>\n'
    )


def _legend(figure: str) -> str:
    x, parts = LEFT, []
    for colour, name in _LEGEND.findall(figure):
        parts.append(f'<path class="line" style="stroke:var({colour})" d="M{x} -10h{_SWATCH}"/>')
        parts.append(f'<text x="{x + _SWATCH + 6}" y="-6">{name}</text>')
        x += _SWATCH + 6 + _LETTER * len(name) + _GAP
    return "".join(parts)
