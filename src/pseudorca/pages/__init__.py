"""The parts of every HTML page: blocks, figures, and the writing of one file."""
