"""The report of a project: one HTML file."""
