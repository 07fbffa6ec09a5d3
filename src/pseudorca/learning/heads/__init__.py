"""Ways to train a head, a module each."""
