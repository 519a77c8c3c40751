"""Video on its way out: encoders, bandwidth, pacing, retransmission, fan-out."""
