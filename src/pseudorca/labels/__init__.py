"""Labels that people gave to clips and encounters: the journal, the labels in force, import, export."""
