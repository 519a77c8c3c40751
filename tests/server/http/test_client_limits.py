"""http/rate_limit.py: how often one address may make requests, and how many are remembered."""

import pytest
from slipstream_protocol.clock import NS_PER_S
from slipstream_server.http.rate_limit import ClientBuckets, client_key, is_loopback


def test_one_client_does_not_spend_anothers_credit() -> None:
    clients = ClientBuckets(rate_per_s=1, burst=2, capacity=10)
    assert [clients.take("a", 0) for _ in range(3)] == [0.0, 0.0, 1.0]
    assert clients.take("b", 0) == 0.0
    assert clients.take("a", NS_PER_S) == 0.0


def test_a_refused_request_costs_nothing() -> None:
    """a client that keeps trying is accepted as soon as one that waits."""
    clients = ClientBuckets(rate_per_s=1, burst=1, capacity=10)
    assert clients.take("a", 0) == 0.0
    for tenth in range(1, 10):
        assert clients.take("a", tenth * NS_PER_S // 10) == pytest.approx(1 - tenth / 10)
    assert clients.take("a", NS_PER_S) == 0.0


def test_the_table_is_bounded_and_forgets_the_longest_unused() -> None:
    clients = ClientBuckets(rate_per_s=0.001, burst=1, capacity=3)
    for name in "abc":
        assert clients.take(name, 0) == 0.0
    assert clients.take("a", 1) > 0  # `b` is unused for longest now
    for number in range(1000):
        clients.take(f"other {number}", 2)
        assert len(clients) <= 3
    assert clients.take("b", 3) == 0.0


def test_clients_with_a_full_bucket_are_forgotten() -> None:
    """a few at a time, so that no request pays for all."""
    clients = ClientBuckets(rate_per_s=1, burst=1, capacity=1000)
    for number in range(100):
        clients.take(str(number), 0)
    for second in range(150):
        clients.take("one", (10 + second) * NS_PER_S)
    assert len(clients) == 1


def test_a_table_for_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity is 0, it must be at least 1"):
        ClientBuckets(rate_per_s=1, burst=1, capacity=0)


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::1"),
        (None, "unknown"),
        ("somewhere", "unknown"),
    ],
)
def test_an_ipv6_site_is_one_client(address: str | None, client: str) -> None:
    assert client_key(address) == client


def test_this_machine_is_told_from_others() -> None:
    assert is_loopback("127.0.0.1") and is_loopback("::1")
    assert not is_loopback("192.0.2.7") and not is_loopback("unknown")
