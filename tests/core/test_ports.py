import socket

from drillyard.core.ports import free_ports


def test_ports_are_free_different_and_none_that_the_kernel_gives_to_clients() -> None:
    ports = free_ports(50)
    assert len(set(ports)) == 50
    assert all(20_000 <= port < 30_000 for port in ports)
    for port in ports:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))


def test_a_port_that_somebody_listens_on_is_not_given(monkeypatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        draws = iter([taken.getsockname()[1], 20_123])
        monkeypatch.setattr("drillyard.core.ports.random.randrange", lambda *_: next(draws))
        assert free_ports(1) == [20_123]
