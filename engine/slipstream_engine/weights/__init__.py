"""From a preset's name to a loaded model: the files it needs, where they come from."""
