"""Times of NTP, as RTCP has them (RFC 3550, section 4). Pure."""

from slipstream_protocol.clock import NS_PER_S

_NTP_TO_UNIX_S = 2_208_988_800  # from 1900 to 1970


def ntp_to_unix_ns(ntp_timestamp: int) -> int:
    """An NTP timestamp, 32 bits of seconds and 32 of their fraction, as ns since 1970."""
    return (ntp_timestamp * NS_PER_S >> 32) - _NTP_TO_UNIX_S * NS_PER_S
