"""Animals or recorders? Numbers, verdict, words, section and figures."""
