"""Calls begun over HTTP: WebRTC offers, WHIP and WHEP, streams by name."""
