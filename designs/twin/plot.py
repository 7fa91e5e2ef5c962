"""Predicted against measured as a picture."""

from pathlib import Path
from typing import Any


def draw(content: dict[str, Any], path: Path) -> None:
    """Write an SVG: p50 and p99 of every held-back load over its rate, for each system."""
    from matplotlib.figure import Figure

    systems = content["systems"]
    figure = Figure(figsize=(4.6 * len(systems), 3.8), layout="constrained")
    for axes, (name, system) in zip(figure.subplots(1, len(systems), squeeze=False)[0], systems.items(), strict=True):
        rows = sorted(system["rows"], key=lambda row: row["load"]["rate_rps"])
        rates = [row["load"]["rate_rps"] for row in rows]
        for field, colour in (("p50_ms", "#2a6fb0"), ("p99_ms", "#c0504d")):
            predicted = [row[field]["predicted"] for row in rows]
            middle = [span["value"] for span in predicted]
            below = [span["value"] - span["low"] for span in predicted]
            above = [span["high"] - span["value"] for span in predicted]
            label = field.removesuffix("_ms")
            axes.errorbar(rates, middle, yerr=[below, above], fmt="_", color=colour, label=f"{label}, predicted")
            axes.plot(rates, [row[field]["measured"] for row in rows], "o", color=colour, label=f"{label}, measured")
        axes.set_yscale("log")
        axes.set_title(f"{name}: loads it was not calibrated on", fontsize=10)
        axes.set_xlabel("offered requests/s")
        axes.set_ylabel("latency, ms (log)")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})
