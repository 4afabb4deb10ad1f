"""Strategies that are files, shipped as examples; foreshore.toml registers them like anybody's own."""
