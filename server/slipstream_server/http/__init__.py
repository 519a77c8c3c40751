"""The HTTP side that is not signalling.

access.py: token, origin and security headers. rate_limit.py: requests per client. bodies.py:
bodies of requests. listener.py and connection_table.py: connections, and who gets a place.
tls_listener.py and certificates.py: HTTPS. addresses.py: the addresses to print. health.py:
/health and /ready. static.py: the page's files.
"""
