"""Files that other programs read and write: a module per format, for plain tables without a project."""
