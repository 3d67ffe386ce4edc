"""The state machines: events in, effects out; no clock, no I/O."""
