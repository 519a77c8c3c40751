"""ICE: candidate gathering, UDP ports, and STUN and TURN servers.

media_port.py: one port for all calls; its parts: port_table.py says whose a datagram is, reading it
with stun_header.py, shared_socket.py and tcp_streams.py (with stream_frames.py) are its sockets,
port_session.py a call's part of it. gathering.py: which candidates a connection gets.
ice_servers.py: its STUN and TURN servers, with credentials for coturn. udp_ports.py: binds sockets
within a port range. packet_filter.py: drops what does not belong to the call. path_following.py: a
peer whose address changes. turn_providers.py: credentials of Cloudflare's and Twilio's TURN.
url_choice.py: which of their servers are used. public_names.py: looks up names among the public
addresses. reachability.py: whether the other side is still there. remote_addresses.py: which of its
addresses are checked; check_limits.py keeps aioice to them. credential_clock.py: the time that
credentials for coturn are made by.
"""
