"""Foreign resource managers: drivers that speak to them, each in worker processes of its own."""
