"""The daemon of a node, and the starter."""
