"""Calls: who publishes, who subscribes, and how each begins and ends."""
