"""Which micro-step runs next. Pure: no clock, no device, no threads."""
