"""Changes of a configuration for the issue pack: known mistakes, wrong on purpose, and their cures.

On a small machine the cores would be the limit before any mistake shows. `narrow` therefore makes a model that waits,
as for an accelerator: 16 requests at once and 50 ms each, about 310 requests/s a replica, which costs no core.
"""

from collections.abc import Callable
from dataclasses import replace

from drillyard.core.errors import UsageError
from serving.recipes import Autoscaling, Batching, ServeConfig

Change = Callable[[ServeConfig], ServeConfig]
_MOST_REPLICAS = 3


def narrow(config: ServeConfig) -> ServeConfig:
    """A replica answers at most 16 requests at once, each after 50 ms: its limit is waiting, not the machine."""
    batching = Batching(max_rows=64, max_wait_s=0.05, offload_s=0.0)
    return replace(config, batching=batching, max_ongoing_requests=16, wrong_on_purpose=True)


def unbounded_queue(config: ServeConfig) -> ServeConfig:
    """Wrong: `narrow`, and whatever does not find a place waits for a minute before it is refused."""
    return replace(narrow(config), queue_timeout_s=60.0)


def batches_never_fill(config: ServeConfig) -> ServeConfig:
    """Wrong: batches wait 20 ms for 32 rows, but a replica is given 8 requests at once, so each waits in vain."""
    return replace(batches_fill(config), max_ongoing_requests=8, wrong_on_purpose=True)


def batches_fill(config: ServeConfig) -> ServeConfig:
    """Batches wait 20 ms for 32 rows, and a replica is given 64 requests at once."""
    batching = Batching(max_rows=32, max_wait_s=0.02, offload_s=0.0)
    return replace(config, batching=batching, max_ongoing_requests=64)


def slow_scaling(config: ServeConfig) -> ServeConfig:
    """Wrong for spikes: `narrow`, scaled on reports every 10 s, averaged over 30 s, after 30 s of too many requests."""
    lags = {"push_s": 10.0, "look_back_s": 30.0, "upscale_delay_s": 30.0}
    return replace(narrow(config), autoscaling=_scaling(**lags))


def quick_scaling(config: ServeConfig) -> ServeConfig:
    """`narrow`, scaled as `--max-replicas` does it: reports twice a second, averaged over 2 s, after 1 s."""
    return replace(narrow(config), autoscaling=_scaling())


def no_replay(config: ServeConfig) -> ServeConfig:
    """Wrong: a request whose replica is lost is lost with it, although inference can be repeated without harm."""
    return replace(config, replays=0)


def _scaling(**lags: float) -> Autoscaling:
    return Autoscaling(max_replicas=_MOST_REPLICAS, target_ongoing_requests=8.0, **lags)


CHANGES: dict[str, Change] = {
    change.__name__.replace("_", "-"): change
    for change in (
        narrow,
        unbounded_queue,
        batches_never_fill,
        batches_fill,
        slow_scaling,
        quick_scaling,
        no_replay,
    )
}


def get(name: str) -> Change:
    """Raises UsageError."""
    try:
        return CHANGES[name]
    except KeyError:
        raise UsageError("recipe", name, "one of " + ", ".join(CHANGES)) from None
