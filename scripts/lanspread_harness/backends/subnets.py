"""The addresses of labs: a /24 each, all of 198.18.0.0/15.

That network is set aside for benchmarks (RFC 2544) and never routed.
"""

SUBNETS = [f"198.{second}.{third}" for second in (18, 19) for third in range(256)]
"""The first three bytes of every /24."""

FIRST_HOST = 10
"""Below it are the bridge's own address and room for tools."""

CAPACITY = 240
"""Peers in one lab."""


def host_address(subnet: str, index: int) -> str:
    """The address of the peer that joined a lab as the `index`th, from 0."""
    if index >= CAPACITY:
        raise ValueError(f"a lab has room for {CAPACITY} peers")
    return f"{subnet}.{FIRST_HOST + index}"
