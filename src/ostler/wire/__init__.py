"""Frames, messages and connections."""
