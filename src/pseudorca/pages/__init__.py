"""What every page is made of, whatever it tells: parts, figures, one file."""
