"""From which address a request comes: the peer's, or what a configured proxy says of it. Pure.

`X-Forwarded-For` is a list to which each proxy appends the address it was asked from, so only its end can be believed,
and only as far as each one that appended is a proxy of ours. What a client writes there himself stands before.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Network = IPv4Network | IPv6Network


def client_address(peer: str, forwarded: str, proxies: Sequence[str]) -> str | None:
    """Return the address, in its one canonical form, or None if there is none (a Unix socket without a proxy's word).

    `proxies` are networks; "unix" among them stands for a peer on a Unix socket.
    """
    address = _canonical(peer)
    trusted = ("unix" in proxies) if address is None else _is_one_of(address, proxies)
    hops = forwarded.split(",")
    while trusted and hops:
        named = _canonical(hops.pop())
        if named is None:
            break
        address, trusted = named, _is_one_of(named, proxies)
    return address


def _is_one_of(address: str, proxies: Sequence[str]) -> bool:
    known = ip_address(address)
    return any(known.version == network.version and known in network for network in _networks(tuple(proxies)))


@lru_cache(maxsize=8)
def _networks(proxies: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ip_network(each, strict=False) for each in proxies if each != "unix")


def _canonical(text: str) -> str | None:
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)
