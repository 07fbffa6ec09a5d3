"""The original study, experiment by experiment, as it was published and told straight."""
