"""Prompts: encoded, kept, mixed, blended over chunks."""
