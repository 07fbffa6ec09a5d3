"""How far to trust it: numbers with intervals."""
