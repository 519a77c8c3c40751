"""The networks: the same classes for every preset."""
