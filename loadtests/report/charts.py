"""Line charts as inline SVG: no script, no fonts or files from elsewhere, colours from the page's CSS variables."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 860, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 14, 46  # around the plot, px
At = Callable[[float, float], tuple[float, float]]  # data -> pixels


@dataclass(frozen=True, kw_only=True)
class Line:
    """One curve; a y of None leaves a gap."""

    name: str
    colour: str  # name of a CSS variable, such as --p99
    points: Sequence[tuple[float, float | None]]
    dashed: bool = False


@dataclass(frozen=True, kw_only=True)
class Band:
    """A shaded stretch of the x axis, its name at the top."""

    name: str
    begin: float
    end: float


def ticks(highest: float, count: int = 5) -> list[float]:
    """Round numbers from 0 up to at least `highest`."""
    if highest <= 0:
        return [0.0, 1.0]
    raw = highest / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    return [step * i for i in range(math.ceil(highest / step - 1e-9) + 1)]


def percentile_x(percentile: float) -> float:
    """The classic HDR axis: equal steps for 0, 90, 99, 99.9, 99.99."""
    return -math.log10(max(1 - percentile / 100, 1e-12))


PERCENTILE_TICKS = [(percentile_x(p), f"{p:g}%") for p in (0.0, 50.0, 90.0, 99.0, 99.9, 99.99)]


def chart(
    *,
    title: str,
    description: str,
    lines: Sequence[Line],
    x_label: str,
    y_label: str,
    x_ticks: Sequence[tuple[float, str]] | None = None,
    bound: tuple[str, float] | None = None,
    bands: Sequence[Band] = (),
    marks: Sequence[tuple[float, str]] = (),
) -> str:
    """An SVG figure; `description` is its text for those who cannot see it.

    `bound` is a labelled horizontal line, `marks` are labelled vertical ones.
    """
    drawn = [y for line in lines for _, y in line.points if y is not None]
    # A bound far above the data would flatten it; it is then named in the caption only.
    show_bound = bound is not None and bound[1] <= 3 * max(drawn, default=0.0)
    y_ticks = ticks(max([*drawn, bound[1] * 1.05 if bound and show_bound else 0.0], default=1.0))
    last_x = max([x for line in lines for x, _ in line.points], default=1.0) or 1.0
    steps = list(x_ticks) if x_ticks is not None else [(x, f"{x:g}") for x in ticks(last_x, 8) if x <= last_x]
    x_end = steps[-1][0] if x_ticks is not None else last_x

    def at(x: float, y: float) -> tuple[float, float]:
        across = (WIDTH - LEFT - RIGHT) * min(x / x_end, 1.0)
        return LEFT + across, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y / y_ticks[-1]

    parts = _bands(bands, at)
    for value in y_ticks:
        _, y = at(0, value)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:,.6g}</text>')
    for value, text in steps:
        x, y = at(value, 0)
        parts.append(f'<path class="grid" d="M{x:.1f} {TOP}V{y:.1f}"/>')
        parts.append(f'<text x="{x:.1f}" y="{y + 18:.1f}" text-anchor="middle">{escape(text)}</text>')
    for line in lines:
        dash = ' stroke-dasharray="5 4"' if line.dashed else ""
        parts.append(f'<path class="line" style="stroke:var({line.colour})"{dash} d="{_path(line, at, x_end)}"/>')
    if bound is not None and show_bound:
        _, y = at(0, bound[1])
        parts.append(f'<path class="bound" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        label = f'x="{WIDTH - RIGHT - 4}" y="{y - 5:.1f}" text-anchor="end"'
        parts.append(f'<text class="bound-label" {label}>{escape(bound[0])}</text>')
    parts += _marks(marks, at)
    middle = (HEIGHT - BOTTOM + TOP) / 2
    parts.append(f'<text x="{(WIDTH + LEFT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>')
    turned = f'transform="translate(14 {middle}) rotate(-90)" text-anchor="middle"'
    parts.append(f"<text {turned}>{escape(y_label)}</text>")
    legend = "".join(f'<span><i style="background:var({line.colour})"></i>{escape(line.name)}</span>' for line in lines)
    return (
        f'<figure><figcaption><b>{escape(title)}</b><span class="legend">{legend}</span></figcaption>'
        f'<div class="plot"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}. {escape(description)}">{"".join(parts)}</svg></div></figure>'
    )


def _bands(bands: Sequence[Band], at: At) -> list[str]:
    parts = []
    for row, band in enumerate(bands):
        left, right = at(band.begin, 0)[0], at(band.end, 0)[0]
        size = f'width="{max(right - left, 1.5):.1f}" height="{HEIGHT - TOP - BOTTOM}"'
        parts.append(f'<rect class="band" x="{left:.1f}" y="{TOP}" {size}/>')
        parts.append(f'<path class="blow" d="M{left:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
        # Beside the line that begins it, on the side with more room; below the one before, which may be close by.
        leftwards = left > WIDTH / 2
        x, anchor = (left - 5, "end") if leftwards else (left + 5, "start")
        y = TOP + 13 + 15 * (row % 4)
        parts.append(f'<text class="blow-label" x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(band.name)}</text>')
    return parts


def _marks(marks: Sequence[tuple[float, str]], at: At) -> list[str]:
    parts = []
    for row, (value, text) in enumerate(marks):
        x = at(value, 0)[0]
        parts.append(f'<path class="mark" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
        label = f'x="{x + 4:.1f}" y="{HEIGHT - BOTTOM - 8 - 15 * (row % 4)}"'
        parts.append(f'<text class="mark-label" {label}>{escape(text)}</text>')
    return parts


def _path(line: Line, at: At, x_end: float) -> str:
    path, pen_down = [], False
    for x, y in line.points:
        if y is None or x > x_end + 1e-9:
            pen_down = False
            continue
        px, py = at(x, y)
        path.append(f"{'L' if pen_down else 'M'}{px:.1f} {py:.1f}")
        pen_down = True
    return "".join(path)
