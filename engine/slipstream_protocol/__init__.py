"""The contract between the server and the engine: frames, messages, rings, channel, clock."""
