import numpy as np
import pytest

from drillyard.core.errors import InvalidMeasurement
from loadtests.generator import limit
from loadtests.generator.echo import _request_bytes
from loadtests.generator.payloads import Payloads


def test_the_peak_is_that_of_the_busiest_second_wherever_it_begins():
    times = np.concatenate([np.arange(0, 10, 0.1), np.linspace(4.5, 5.4, 50)])
    assert limit.peak(np.sort(times)) == 60
    assert limit.peak(np.array([])) == 0


def test_loads_beyond_the_limit_are_refused_with_both_figures():
    times = np.arange(0, 3, 1 / 512)
    limit.refuse_beyond(512, times)
    with pytest.raises(InvalidMeasurement, match=r"up to 512 requests in a second.*at most 511"):
        limit.refuse_beyond(511, times)


@pytest.mark.parametrize(
    ("buffer", "size"),
    [
        (b"", 0),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", 0),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab", 0),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcPOST", 41),
    ],
)
def test_the_echo_server_answers_whole_requests(buffer, size):
    assert _request_bytes(buffer) == size


def test_the_first_answer_is_a_right_one(samples):
    payloads = Payloads.load(samples)
    first = payloads.only_first()
    assert len(first) == 1 < len(payloads)
    assert all(first.check(number, payloads.first_answer()) for number in (0, 1, 63))
    assert not payloads.check(1, payloads.first_answer())


@pytest.mark.integration
def test_the_limit_is_measured_against_a_server_of_its_own(samples):
    assert 300 < limit.measure(Payloads.load(samples), "fraud") < 100_000
