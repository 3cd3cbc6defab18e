"""Which address a request comes from: what only our own proxies say is believed."""

import pytest

from activity.addresses import client_address

PROXIES = ["10.0.0.0/8", "2001:db8:1::/48"]


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.7", "", "192.0.2.7"),
        ("192.0.2.7", "198.51.100.1", "192.0.2.7"),  # the peer is no proxy of ours
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.1", "198.51.100.1"),  # what the client wrote stands before
        ("10.0.0.1", "203.0.113.9, 198.51.100.1, 10.9.9.9", "198.51.100.1"),
        ("10.0.0.1", "10.2.2.2, 10.3.3.3", "10.2.2.2"),
        ("10.0.0.1", "198.51.100.1, nonsense", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1,", "10.0.0.1"),
        ("2001:db8:1::5", "2001:DB8:2:0::1", "2001:db8:2::1"),
        ("::ffff:10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
        ("", "198.51.100.1", None),
        ("nonsense", "198.51.100.1", None),
    ],
)
def test_the_address_is_as_far_as_our_proxies_vouch(peer: str, forwarded: str, address: str | None) -> None:
    assert client_address(peer, forwarded, PROXIES) == address


def test_a_proxy_on_a_unix_socket_has_no_address_and_must_be_named() -> None:
    assert client_address("", "198.51.100.1", ["unix"]) == "198.51.100.1"
    assert client_address("", "198.51.100.1", []) is None
