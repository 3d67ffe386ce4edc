"""The daemon that runs the core over store and wire."""
