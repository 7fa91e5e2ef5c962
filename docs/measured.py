"""Tables of what models, training, serving and prediction measured; run by cog (`make format`). Drills: drilled.py."""

from statistics import mean, median, stdev
from typing import Any

from recorded import held, origin, result
from tables import table


def seeds(name: str, metric: str) -> str:
    """One line a seed of a model benchmark, baselines beside."""
    content = result(name)
    baselines = [key for key, values in content["runs"][0]["baselines"].items() if metric in values]
    rows = [
        [
            str(run["seed"]),
            f"{run['metrics'][metric][0]:.3f} ({run['metrics'][metric][1]:.3f} to {run['metrics'][metric][2]:.3f})",
            *(f"{run['baselines'][key][metric][0]:.3f}" for key in baselines),
            f"{run['train_s']:.0f}",
        ]
        for run in content["runs"]
    ]
    values = [run["metrics"][metric][0] for run in content["runs"]]
    spread = f" (sd {stdev(values):.4f})" if len(values) > 1 else ""
    means = [mean(run["baselines"][key][metric][0] for run in content["runs"]) for key in baselines]
    ratios = [f"{value:.3f}; we are {mean(values) / value:.2f} times that" for value in means]
    rows.append(["mean", f"{mean(values):.3f}{spread}", *ratios, ""])
    head = ["seed", f"{metric} (95% interval)", *baselines, "training loop, s"]
    trained_on = f"recipe `{content['recipe']}` on {content['runs'][0]['device']}"
    return f"{table(head, rows)}\n\n{origin(content)}, {trained_on}, n = {len(values)}."


def training_ratios() -> str:
    """Ray Train against torchrun and against a naive loop."""
    content = result("bench-train-base")
    rates = content["images_per_s"]
    rows = _ratios(content)
    medians = ", ".join(f"{name} {median(values):,.0f}" for name, values in rates.items())
    return (
        table(["ratio of images/s", "median", "lowest to highest round", "rounds", "bar"], rows)
        + f"\n\nMedian images/s: {medians}. {origin(content)}."
    )


def serving() -> str:
    """This project's server against others."""
    from serving.bench import report

    content = result("bench-serve")
    parts = [f"**{title}**\n\n{table(head, lines)}" for title, head, lines in report.tables(content)]
    took = f"{content['options']['rounds']} rounds, {content['elapsed_s'] / 60:.0f} minutes"
    picture = "![Requests a second and p99 latency of each server](results/bench-serve.svg)"
    return "\n\n".join([picture, *parts, f"{origin(content)}, {took}."])


def proxies() -> str:
    """Large bodies over HAProxy and over Serve's Python proxy."""
    from serving.bench import report

    content = result("bench-proxies")
    _, head, lines = report.proxies(content)
    return f"{table(head, lines)}\n\n{origin(content)}, {content['options']['image_rounds']} rounds."


def prediction() -> str:
    """Batch prediction against onnxruntime in process, and what each size took."""
    content = result("bench-predict")
    compared = _ratios(content)
    medians = ", ".join(
        f"{name.replace('_', ' ')} {median(rates):,.0f}" for name, rates in content["rows_per_s"].items()
    )
    sizes = []
    for size in content["sizes"]:
        rate, took = (f"{median(run[key] for run in size['runs']):,.0f}" for key in ("rows_per_s", "elapsed_s"))
        memory = _mib(max(run["peak_rss_bytes"] for run in size["runs"]))
        sizes.append([f"{size['times']}x: {size['rows']:,}", str(len(size["runs"])), rate, took, memory])
    head = ["ratio of rows/s", "median", "lowest to highest round", "rounds", "bar"]
    by_size = ["rows", "runs", "rows/s, median", "whole time, s", "peak memory"]
    words = f"Median rows/s: {medians}, {content['threads']} threads. {origin(content)}."
    return f"{table(head, compared)}\n\n{words}\n\n{table(by_size, sizes)}"


def streaming() -> str:
    """Training from files: memory and object store at 1x and 10x."""
    content = result("bench-predict")
    rows = [
        [
            f"{row['times']}x: {row['rows']:,}",
            _mib(row["data_bytes"]),
            f"{_mib(row['store_peak_bytes'])} of {_mib(row['store_bytes'])}",
            _mib(row["spilled_bytes"]),
            _mib(row["peak_rss_bytes"]),
            f"{row['rows_per_s']:,.0f}",
        ]
        for row in content["streaming"]
    ]
    head = ["training rows", "of", "object store at the peak", "spilled to disk", "peak memory", "rows/s"]
    return f"{table(head, rows)}\n\n{origin(content)}, n = 1."


def _ratios(content: Any) -> list[list[str]]:
    """Each ratio with its spread over the rounds, and its bar if it has one."""
    return [
        [
            *(name.replace("_", " "), f"{found['median']:.2f}", f"{found['low']:.2f} to {found['high']:.2f}"),
            *(str(found["n"]), "" if found["bar"] is None else held(found["bar"], found["median"] >= found["bar"])),
        ]
        for name, found in content["ratios"].items()
    ]


def _mib(size_bytes: float) -> str:
    return f"{size_bytes / 2**20:,.0f} MiB"
