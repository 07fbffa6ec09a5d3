"""What was recorded: files, their names, their clips, and the splits that keep them apart."""
