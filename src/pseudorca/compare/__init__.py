"""Embedders side by side, and what to expect of choosing among them."""
