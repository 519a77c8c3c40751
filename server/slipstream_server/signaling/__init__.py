"""Signaling: how calls begin and end over HTTP, and what else the API offers.

webrtc_api.py   the page's calls: offer, candidates, the end; metrics; errors as JSON
whip.py         WHIP and WHEP: publish and watch without a page
whip_sdp.py     what those two need of SDP
streams_api.py  live streams and their parameters, without a call
recordings_api.py  recordings: begun, ended, listed, downloaded
tokens_api.py   tokens to hand on
node_api.py     this server as one of several
session_paths.py  whose a session in a path is
json_bodies.py  JSON in requests and responses
"""
