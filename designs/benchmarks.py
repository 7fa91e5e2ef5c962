"""Where designs find what the benchmarks of serving measured. Timings all: they age with the commits to serving."""

from designs.evidence import FromResult

_AGES = ("serving",)


def demo(key: str, unit: str, place: str, says: str) -> FromResult:
    """Of the last demo; `place` is below a system, such as `fraud/drill/p99_ms`."""
    return _timing(key, unit, "demo", f"systems/{place}", says, "make demo")


def drill(system: str) -> tuple[FromResult, ...]:
    """The design's own drill, in the last demo."""
    return (
        demo("drill_p50_ms", "ms", f"{system}/drill/p50_ms", "median latency in the design's drill"),
        demo("drill_p99_ms", "ms", f"{system}/drill/p99_ms", "p99 latency in the design's drill"),
        demo("drill_offered_rps", "requests/s", f"{system}/drill/offered_rps", "load of that drill"),
        demo("drill_errors_count", "requests", f"{system}/drill/errors", "failed requests of that drill"),
    )


def faults() -> tuple[FromResult, ...]:
    """What the faults cost that every design of a served model speaks of."""
    return (
        fault("faults_requests_count", "requests", "kill-replica/requests", "requests asked during a fault"),
        fault("kill_failed_count", "requests", "kill-replica/failed", "failed requests when a replica was killed"),
        fault("kill_max_ms", "ms", "kill-replica/max_ms", "longest answer when a replica was killed"),
        fault("kill_whole_s", "s", "kill-replica/whole_again_s", "time until the killed replica was replaced"),
        fault("freeze_failed_count", "requests", "freeze-replica/failed", "failed requests when a replica froze"),
        fault("freeze_max_ms", "ms", "freeze-replica/max_ms", "longest answer when a replica froze"),
        fault("version_failed_count", "requests", "new-version/failed", "failed requests during a change of version"),
        fault("version_max_ms", "ms", "new-version/max_ms", "longest answer during a change of version"),
        fault(
            "proxy_failed_count", "requests", "kill-haproxy/failed", "failed requests when the only proxy was killed"
        ),
        fault("proxy_whole_s", "s", "kill-haproxy/whole_again_s", "time until the proxy was back"),
        fault("registry_requests_count", "requests", "registry-gone/requests", "requests asked without a registry"),
        fault("registry_failed_count", "requests", "registry-gone/failed", "failed requests without a registry"),
    )


def fault(key: str, unit: str, place: str, says: str) -> FromResult:
    """Of the drill of a fault, `FAULT/FIELD`."""
    return _timing(key, unit, "bench-faults", f"faults/fault={place}", says, "make bench-faults")


def issue(key: str, unit: str, place: str, says: str) -> FromResult:
    """Of a known production failure, `ISSUE/FIGURE/SIDE`: the figure's number, and `broken` or `fixed`."""
    name, figure, side = place.split("/")
    return _timing(key, unit, "bench-issues", f"issues/issue={name}/figures/{figure}/{side}", says, "make bench-issues")


def overload(key: str, unit: str, place: str, says: str) -> FromResult:
    """Of the drill beyond capacity."""
    return _timing(key, unit, "bench-overload", place, says, "make bench-overload")


def beyond_capacity() -> tuple[FromResult, ...]:
    """What is left at twice the capacity."""
    return (
        overload(
            "overload_goodput_ratio", "", "bars/goodput_ratio", "goodput at twice the capacity over that at capacity"
        ),
        overload("refusal_p99_ms", "ms", "bars/refusal_p99_ms", "p99 of a refusal at twice the capacity"),
    )


def serve_cell(key: str, unit: str, place: str, says: str) -> FromResult:
    """Median over rounds of one server's figure: `SERVER/WORKLOAD/CONNECTIONS/FIELD`."""
    server, workload, connections, field = place.split("/")
    path = f"contender={server}/workload={workload}/connections={connections}/{field}"
    return _cell(key, unit, "bench-serve", path, says, "make bench-serve")


def proxied(key: str, unit: str, place: str, says: str) -> FromResult:
    """Median over rounds of a large body's figure: `SERVER/WORKLOAD/FIELD`."""
    server, workload, field = place.split("/")
    path = f"contender={server}/workload={workload}/{field}"
    return _cell(key, unit, "bench-proxies", path, says, 'make bench-serve ARGS="--parts proxies"')


def serve_ratio(key: str, place: str, says: str, *, of: str = "rows_per_s") -> FromResult:
    """Ratio to another, taken within rounds: `SERVER/WORKLOAD/over SERVER/over WORKLOAD`."""
    server, workload, other, others = place.split("/")
    over = f"bar.over.contender={server}/bar.over.workload={workload}"
    under = f"bar.under.contender={other}/bar.under.workload={others}"
    return _timing(key, "", "bench-serve", f"bars/*/{over}/{under}/{of}", says, "make bench-serve")


def twin(model: str) -> tuple[FromResult, ...]:
    """The twin's highest rate beside the measured one, with one replica on this kind of machine."""
    found = {
        "twin_rps": ("predicted/value", "requests/s", "highest rate within the promise, by the twin"),
        "twin_measured_rps": ("measured/value", "requests/s", "highest rate within the promise, measured"),
        "twin_error_ratio": ("error", "", "the twin's error of that rate"),
    }
    return tuple(
        _timing(key, unit, "bench-twin", f"systems/{model}/sustainable/{path}", says, "make bench-twin")
        for key, (path, unit, says) in found.items()
    )


def _timing(key: str, unit: str, result: str, path: str, says: str, command: str) -> FromResult:
    return FromResult(key=key, unit=unit, says=says, result=result, path=path, command=command, ages=_AGES)


def _cell(key: str, unit: str, result: str, path: str, says: str, command: str) -> FromResult:
    """The median over the rounds of what `path` finds among the cells."""
    found = _timing(key, unit, result, f"cells/{path}", says, command)
    return found.model_copy(update={"reduce": "median"})
