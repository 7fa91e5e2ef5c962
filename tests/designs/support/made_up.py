"""A calibration of no machine that ever was."""

from designs.twin import Calibration, Point, Round

_POINT = Point(
    rate_rps=500,
    busy_cores=0.9,
    proxy_us=0,
    proxy_wait=0,
    loop_us=800,
    loop_wait=0.25,
    generator_us=200,
    delay_ms=2,
    pause_ms=0,
    spread=1,
    p50_ms=3,
    p99_ms=9,
    requests=5000,
)


def calibration(model: str, trace: tuple[tuple[float, float], ...]) -> Calibration:
    """One replica on two cores, its service times spread as the trace says: (percentile, share of the mean)."""
    return Calibration(
        model=model,
        replicas=1,
        cores=2,
        background_cores=0.1,
        max_rows=32,
        max_wait_s=0,
        max_ongoing_requests=128,
        queue_timeout_s=0.02,
        rounds=(Round(points=(_POINT,), batch=None, trace=trace),),
        commit="none",
        machine="made up",
        at="2026-01-01",
        n=5000,
    )
