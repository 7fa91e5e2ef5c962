"""A process that grows too far is told so, by real memory too, and not all processes at the same size."""

from dataclasses import replace

import pytest

from drillyard.core.errors import UsageError
from serving.memory import GrownError, GrowthLimit, resident_bytes
from serving.recipes import laptop

LIMIT = 100 * 2**20


def grows_until(limit: GrowthLimit, memory: list[int]) -> int:
    """The size at which the limit is first passed, in steps of a MiB."""
    while True:
        memory[0] += 2**20
        try:
            limit.check()
        except GrownError:
            return memory[0]


def test_growth_counts_from_the_start_and_each_process_has_a_limit_of_its_own() -> None:
    begun = 3 * LIMIT
    found = []
    for _ in range(50):
        memory = [begun]
        found.append(grows_until(GrowthLimit(LIMIT, lambda memory=memory: memory[0]), memory) - begun)
    assert min(found) >= 0.75 * LIMIT
    assert max(found) <= LIMIT + 2**20
    assert len(set(found)) > 5


def test_memory_that_is_let_go_is_forgiven() -> None:
    memory = [0]
    limit = GrowthLimit(LIMIT, lambda: memory[0])
    grows_until(limit, memory)
    memory[0] = LIMIT // 2
    limit.check()


def test_real_memory_is_seen() -> None:
    before, limit = resident_bytes(), GrowthLimit(32 * 2**20)
    limit.check()
    held = b"x" * (64 * 2**20)
    assert 60 * 2**20 < resident_bytes() - before < 80 * 2**20
    with pytest.raises(GrownError, match=r"has grown by 6\d MiB"):
        limit.check()
    del held


def test_a_limit_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="max_growth_bytes"):
        replace(laptop("fraud"), max_growth_bytes=0)
