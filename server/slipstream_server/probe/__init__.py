"""`slipstream probe`: calls a server as a page would, without a browser, and measures.

command.py: the command line; caller.py: the call itself; offers.py: what it asks over HTTP;
camera.py: the pictures sent; marker.py: the number in their pixels. record.py: what one call has
shown; report.py: the figures and the verdict.
"""
