"""The scheduler on devices that are not here. Pure but for its command."""
