"""Addresses of peers and hosts: read strictly, written in one way. Knows no header."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

__all__ = ["Address", "Network", "is_loopback", "neighbourhood", "read_address", "read_network"]

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

HOME_PREFIX = 64
"""The bits of an IPv6 address that say whose it is; the rest its owner chooses freely."""


def read_address(text: str) -> Address | None:
    """Read an address without port or brackets; ``None`` where it is none.

    A zone is dropped, and an IPv4 address that is written as IPv6 becomes the IPv4 one.
    """
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def read_network(text: str) -> Network:
    """Read a network, or an address as the network of it alone. Raises ``ValueError``."""
    network = ip_network(text, strict=False)
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ip_network((mapped, network.prefixlen - 96))
    return network


def is_loopback(text: str) -> bool:
    """Return whether an address is this machine's own; a peer without one is, on a unix socket."""
    address = read_address(text)
    return not text if address is None else address.is_loopback


def neighbourhood(text: str) -> str:
    """Return what is counted as one address: itself, or the /64 network of an IPv6 one."""
    address = read_address(text)
    if isinstance(address, IPv6Address):
        return str(ip_network((int(address), HOME_PREFIX), strict=False))
    return text if address is None else str(address)
