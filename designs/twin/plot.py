"""Predicted against measured as a picture."""

from pathlib import Path
from typing import Any


def draw(content: dict[str, Any], path: Path) -> None:
    """Write an SVG: p50 and p99 of every held-back load over its rate, for each system; bars over the rounds."""
    from matplotlib.figure import Figure

    systems = content["systems"]
    figure = Figure(figsize=(4.6 * len(systems), 3.8), layout="constrained")
    for axes, (name, system) in zip(figure.subplots(1, len(systems), squeeze=False)[0], systems.items(), strict=True):
        rows = sorted(system["rows"], key=lambda row: row["load"]["rate_rps"])
        rates = [row["load"]["rate_rps"] for row in rows]
        for field, colour in (("p50_ms", "#2a6fb0"), ("p99_ms", "#c0504d")):
            for kind, mark, aside in (("predicted", "_", 0.99), ("measured", "o", 1.01)):
                spans = [row[field][kind] for row in rows]
                middle = [span["value"] for span in spans]
                ends = [[s["value"] - s["low"] for s in spans], [s["high"] - s["value"] for s in spans]]
                label = f"{field.removesuffix('_ms')}, {kind}"
                axes.errorbar([aside * r for r in rates], middle, yerr=ends, fmt=mark, color=colour, label=label)
        axes.set_yscale("log")
        axes.set_title(f"{name}: loads it was not calibrated on", fontsize=10)
        axes.set_xlabel("offered requests/s")
        axes.set_ylabel("latency, ms (log)")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})
