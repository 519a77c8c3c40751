"""The front door: who may ask and how often, TLS, health."""
