"""Pure scheduling: a snapshot in, a plan out."""
