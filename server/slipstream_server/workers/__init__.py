"""Calls spread over several processes behind one front."""
