"""ICE: candidate gathering, UDP ports, and STUN and TURN servers.

gathering.py: which candidates a connection gets. ice_servers.py: its STUN and TURN servers, with
credentials for coturn. udp_ports.py: binds sockets within a port range. packet_filter.py: drops
what does not belong to the call. turn_providers.py: credentials of Cloudflare's and Twilio's TURN.
url_choice.py: which of their servers are used. public_names.py: looks up names among the public
addresses. reachability.py: whether the other side is still there. remote_addresses.py: which of its
addresses are checked; check_limits.py keeps aioice to them.
"""
