"""What is learned: heads, cross-validation, the classifier."""
