"""The warehouse in DuckLake: built by several machines at once, read as it stood at any publication (docs/scale.md)."""
