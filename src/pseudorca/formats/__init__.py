"""Files that other programs read and write, for plain tables without a project."""
