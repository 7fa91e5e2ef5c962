"""The comparison as a picture: requests a second and p99 latency of one row, a dot a round."""

from pathlib import Path
from statistics import median
from typing import Any

from serving.bench.parts import ONE_ROW, SATURATING
from serving.bench.rounds import Cell


def draw(content: dict[str, Any], path: Path) -> None:
    """Write an SVG; nothing when one row was not measured at that many connections."""
    cells = [Cell(**each) for each in content["cells"]]
    cells = [cell for cell in cells if (cell.workload, cell.connections) == (ONE_ROW, SATURATING) and not cell.errors]
    if not cells:
        return
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    speeds = {name: [c.requests_per_s for c in cells if c.contender == name] for name in {c.contender for c in cells}}
    names = sorted(speeds, key=lambda name: median(speeds[name]))
    for axes, field, label in ((left, "requests_per_s", "requests/s"), (right, "p99_ms", "p99 latency, ms (log)")):
        values = [[getattr(cell, field) for cell in cells if cell.contender == name] for name in names]
        colours = ["#2a6fb0" if name.startswith("drillyard") else "#b9b9b9" for name in names]
        middles = [median(each) for each in values]
        if field == "requests_per_s":
            axes.barh(names, middles, color=colours)
        else:  # a logarithmic axis has no zero for a bar to start from
            axes.scatter(middles, names, s=90, color=colours)
            axes.grid(axis="x", alpha=0.3)
        for row, each in enumerate(values):
            axes.plot(each, [row] * len(each), "o", color="black", markersize=3)
            axes.annotate(
                f"{median(each):,.0f}" if field == "requests_per_s" else f"{median(each):.1f}",
                (max(each), row),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
        axes.set_xlabel(label)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.15)
    right.set_xscale("log")
    figure.suptitle(f"One row a request, {SATURATING} connections: the median, and rounds as dots", fontsize=10)
    figure.savefig(path, metadata={"Date": None})
