"""Clips to stored vectors: streamed, kept, resumed."""
