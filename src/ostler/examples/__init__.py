"""Small programs to try a machine with: `python -m ostler.examples.pi`."""
