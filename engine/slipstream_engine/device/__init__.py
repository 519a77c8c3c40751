"""What depends on the device: its memory, copies to and from it, precision, and stage times."""
