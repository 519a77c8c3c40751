"""`slipstream-engine bench`: how fast a pipeline is here."""
