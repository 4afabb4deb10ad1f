"""Pre-paper: the promoted strategy on live bars, which speaks only where history is whole."""
