"""Nodes and jobs of other resource managers, none of which is trusted.

To the rest of the core they are like its own: what an allocation asks of their nodes' agents
becomes one call of a driver, and what a load or an answer tells becomes what an agent would report.
"""
