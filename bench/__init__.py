"""How fast Ostler is, beside others in the same run: `python -m bench`, or `make bench`."""
