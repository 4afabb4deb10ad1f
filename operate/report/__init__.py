"""The report site: pages of figures and tables over what was published, to be opened from disk."""
