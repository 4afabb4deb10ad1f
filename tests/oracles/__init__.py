"""Slow, independent ways to the same answers. Nothing here may import the code it judges."""
