"""The HTTP side that is not signalling.

outside.py and forwarded.py: requests as they were made outside, by whatever proxies. access.py:
role and origin; cross_origin.py: what pages of other origins may read. roles.py: the table of
routes. sign_in.py: whose request it is; signed_tokens.py and token_issuer.py: what links carry;
wrong_tokens.py: who has to wait. security_headers.py: what every answer says to browsers.
error_pages.py: answers to bytes that are no request. refusals.py counts what is refused.
rate_limit.py: requests per client. bodies.py: bodies of requests; refused_bodies.py: what is left
of them.
port.py: the TCP port. listener.py, connection.py and connection_table.py: connections, and who gets
a place.
tls_listener.py and certificates.py: HTTPS; served_certificate.py and file_changes.py: when its
certificate is read again. addresses.py: the addresses to print. health.py: /health and /ready.
static.py: the page's files.
"""
