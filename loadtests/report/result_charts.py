"""The charts of one result."""

from itertools import accumulate

from drillyard.core import budget
from drillyard.core.slo import DrillResult
from loadtests.report.charts import PERCENTILE_TICKS, Band, Line, chart, percentile_x

Points = list[tuple[float, float | None]]


def charts(result: DrillResult) -> list[str]:
    """Latency over time and by percentile, throughput; budget and quality under load where they are known."""
    return [latency(result), _percentiles(result), _throughput(result), *_budget(result), *_quality(result)]


def _bands(result: DrillResult) -> list[Band]:
    """From each blow to the recovery, or to the end where there was none."""
    end_s = result.plan.load.duration_s
    return [
        Band(name=mark.fault, begin=mark.struck_s, end=end_s if mark.recovered_s is None else mark.recovered_s)
        for mark in result.faults
    ]


def _figures(result: DrillResult) -> str:
    return f"p50 {result.p50_ms:.2f} ms, p99 {result.p99_ms:.2f} ms, maximum {result.max_ms:.2f} ms"


def _bound(result: DrillResult) -> tuple[str, float]:
    return f"p{result.plan.percentile} bound {result.plan.slo.p99_ms:g} ms", result.plan.slo.p99_ms


def latency(result: DrillResult, title: str = "Latency over time") -> str:
    """Median and 99th percentile of each second, the promised bound, and faults."""

    def column(name: str) -> Points:
        pairs = zip(result.series["t_s"], result.series[name], strict=True)
        return [(t + 0.5, value or None) for t, value in pairs if t < result.plan.load.duration_s]

    marks = "".join(f" {band.name} struck at {band.begin:.1f} s." for band in _bands(result))
    return chart(
        title=title,
        description=f"Median and 99th percentile of each second; over the drill {_figures(result)}.{marks}",
        lines=[
            Line(name="p99", colour="--bad", points=column("p99_ms")),
            Line(name="p50", colour="--accent", points=column("p50_ms")),
        ],
        x_label="intended send time, s",
        y_label="latency, ms",
        bound=_bound(result),
        bands=_bands(result),
    )


def _percentiles(result: DrillResult) -> str:
    return chart(
        title="Latency by percentile",
        description=f"{_figures(result)}; 99.9th percentile {result.p999_ms:.2f} ms.",
        lines=[
            Line(
                name="latency",
                colour="--accent",
                points=[(percentile_x(p), latency) for p, latency in result.percentiles if p <= 99.99],
            )
        ],
        x_label="percentile (each step to the right is ten times rarer)",
        y_label="latency, ms",
        x_ticks=PERCENTILE_TICKS,
        bound=_bound(result),
    )


def _throughput(result: DrillResult) -> str:
    def rates(name: str) -> Points:
        """Without the last seconds' few stragglers, which would look like a dip in throughput."""
        whole_s, few = int(result.plan.load.duration_s), 0.05 * result.offered_rps
        pairs = zip(result.series["t_s"], result.series[name], strict=True)
        return [(t + 0.5, value) for t, value in pairs if t < whole_s or value > few]

    return chart(
        title="Throughput",
        description=f"{result.requests:,} requests, {result.errors:,} errors, offered {result.offered_rps:.0f}/s.",
        lines=[
            Line(name="sent", colour="--muted", points=rates("sent"), dashed=True),
            Line(name="answered rightly", colour="--good", points=rates("ok")),
            Line(name="errors", colour="--bad", points=rates("errors")),
        ],
        x_label="time, s",
        y_label="requests/s",
        bands=_bands(result),
    )


def _budget(result: DrillResult) -> list[str]:
    score = budget.of(result)
    if score is None:
        return []
    colours = {budget.AVAILABILITY: "--bad", budget.LATENCY: "--accent"}
    lines = []
    for objective in budget.objectives(result.plan, result.series):
        allowed = objective.allowed * sum(objective.total)
        if allowed > 0:  # a promise of no error has no budget to spend a share of
            points: Points = [(t, 100 * bad / allowed) for t, bad in enumerate([0.0, *accumulate(objective.bad)])]
            lines.append(Line(name=objective.name, colour=colours[objective.name], points=points))
    begins = {severity: [f.from_s for f in score.firings if f.severity == severity] for severity in ("page", "ticket")}
    spent = "; ".join(
        f"{each.objective} {'had none to spend' if each.spent is None else f'{each.spent:,.0%} spent'}"
        for each in score.objectives
    )
    return [
        chart(
            title="Error budget spent",
            description=f"Share of the drill's own budget that is gone: {spent}; {score.pages} pages.",
            lines=lines,
            x_label="time, s",
            y_label="% of the budget",
            bound=("all of it", 100.0),
            bands=_bands(result),
            marks=[(min(times), f"first {severity}") for severity, times in begins.items() if times],
        )
    ]


def _quality(result: DrillResult) -> list[str]:
    found = result.extra.get("quality")
    if not found:
        return []

    def percent(name: str) -> Points:
        return [(t, 100 * value) for t, value in zip(found["t_s"], found[name], strict=True)]

    best = found["unloaded"]
    return [
        chart(
            title="Quality under load",
            description=f"Of each pass through the samples: answered in time, precision among the {found['reviewed']} "
            f"highest scores (unloaded {best['precision']:.0%}), "
            f"and {found['weight']} of the positives missed (unloaded {best['missed']:.0%}).",
            lines=[
                Line(name="answered in time", colour="--good", points=percent("answered")),
                Line(name=f"precision in the top {found['reviewed']}", colour="--accent", points=percent("precision")),
                Line(name=f"{found['weight']} missed", colour="--bad", points=percent("missed")),
            ],
            x_label="time, s (middle of each pass through the same samples)",
            y_label="%",
            bands=_bands(result),
        )
    ]
