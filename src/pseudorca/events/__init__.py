"""Events that another classifier scored: read, decided, shown."""
