"""Which micro-step runs next, without a clock, a device or threads. Pure."""
