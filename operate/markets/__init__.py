"""The daily run on prediction markets: claim, list, experiment, write, score."""
