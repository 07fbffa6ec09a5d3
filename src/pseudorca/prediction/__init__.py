"""What the classifier says about recordings, and the files it says it in."""
