"""Connects a camera to an engine, and both to the people and programs who want the phase."""
