"""What other programs read and write: a module per format; knows files and plain tables, no project."""
