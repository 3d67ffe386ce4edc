"""The nouns of a machine: records, states and their legal transitions."""
