"""`slipstream doctor`: checks whether this machine, network and installation can serve.

command.py: the command line; runner.py runs the checks of check_list.py and prints what they found.
One function for each check: packages.py, machine.py, network.py, media_ports.py, stun_turn.py,
media.py (codecs, a call), sandbox.py and engine.py. finding.py: the types they share.
"""
