"""What people said of clips and encounters: the journal, the labels in force, import and export."""
