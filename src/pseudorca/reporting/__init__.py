"""How it is shown: plots and the report."""
