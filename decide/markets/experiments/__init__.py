"""Experiments on prediction markets: what a snapshot says about an outcome. One module each; all pure."""
