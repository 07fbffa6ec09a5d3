"""How far to trust it: numbers, intervals, tests."""
