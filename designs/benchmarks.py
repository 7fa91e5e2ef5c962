"""Where designs find what the benchmarks of serving measured. Timings all: they age with the commits to serving."""

from designs.evidence import FromResult

_AGES = ("serving",)


def demo(key: str, unit: str, place: str, says: str) -> FromResult:
    """Of the last demo; `place` is below a system, such as `fraud/drill/p99_ms`."""
    return _timing(key, unit, "demo", f"systems/{place}", says, "make demo")


def fault(key: str, unit: str, place: str, says: str) -> FromResult:
    """Of the drill of a fault, `FAULT/FIELD`."""
    return _timing(key, unit, "bench-faults", f"faults/fault={place}", says, "make bench-faults")


def overload(key: str, unit: str, place: str, says: str) -> FromResult:
    """Of the drill beyond capacity."""
    return _timing(key, unit, "bench-overload", place, says, "make bench-overload")


def serve_cell(key: str, unit: str, place: str, says: str) -> FromResult:
    """Median over rounds of one server's figure: `SERVER/WORKLOAD/CONNECTIONS/FIELD`."""
    server, workload, connections, field = place.split("/")
    path = f"cells/contender={server}/workload={workload}/connections={connections}/{field}"
    return FromResult(
        key=key,
        unit=unit,
        says=says,
        result="bench-serve",
        path=path,
        reduce="median",
        command="make bench-serve",
        ages=_AGES,
    )


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
        "twin_measured_rps": ("measured", "requests/s", "highest rate within the promise, measured"),
        "twin_error_ratio": ("error", "", "the twin's error of that rate"),
    }
    return tuple(
        _timing(key, unit, "bench-twin", f"systems/{model}/sustainable/{path}", says, "make bench-twin")
        for key, (path, unit, says) in found.items()
    )


def _timing(key: str, unit: str, result: str, path: str, says: str, command: str) -> FromResult:
    return FromResult(key=key, unit=unit, says=says, result=result, path=path, command=command, ages=_AGES)
