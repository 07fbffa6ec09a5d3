"""Samples to what a network takes."""
