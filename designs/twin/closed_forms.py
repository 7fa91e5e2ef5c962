"""Queues with known answers, to hold the simulations against. Rates in requests a second, times in seconds.

Sources: Erlang's C formula and the Pollaczek-Khinchine formula, as in Kleinrock, "Queueing Systems" vol. 1 (1975),
sections 3.5 and 5.6.
"""

import math


def erlang_c(servers: int, offered: float) -> float:
    """The share of requests that must wait in M/M/c; `offered` is arrival rate times mean service time, in erlangs."""
    if not 0 < offered < servers:
        return 1.0 if offered >= servers else 0.0
    blocked = 1.0  # Erlang's B formula, by its recursion over servers
    for count in range(1, servers + 1):
        blocked = offered * blocked / (count + offered * blocked)
    return servers * blocked / (servers - offered * (1 - blocked))


def mmc_wait_s(servers: int, rate_rps: float, service_s: float) -> float:
    """Mean wait before service in M/M/c."""
    offered = rate_rps * service_s
    return erlang_c(servers, offered) * service_s / (servers - offered) if offered < servers else math.inf


def mm1_latency_s(rate_rps: float, service_s: float, percentile: float) -> float:
    """A percentile of the time in an M/M/1 system, wait and service, which is exponential."""
    return -math.log(1 - percentile / 100) * service_s / (1 - rate_rps * service_s)


def mg1_wait_s(rate_rps: float, service_s: float, service_variance_s2: float) -> float:
    """Mean wait before service in M/G/1 (Pollaczek-Khinchine); a variance of 0 is M/D/1."""
    load = rate_rps * service_s
    return rate_rps * (service_s**2 + service_variance_s2) / (2 * (1 - load)) if load < 1 else math.inf
