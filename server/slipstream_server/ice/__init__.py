"""How a peer connection finds its way: addresses, ports, TURN."""
