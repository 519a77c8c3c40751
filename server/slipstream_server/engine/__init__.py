"""The engine process as the server sees it: child, client, hang detector."""
