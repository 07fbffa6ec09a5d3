"""The same animals over another background: clips taken apart, altered copies of them."""
