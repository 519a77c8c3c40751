"""SDP, RTP payloads, and the private names of aiortc that we use."""
