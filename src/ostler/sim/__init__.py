"""Replays published workloads with the policies of the machine itself: reading, running, measuring."""
