"""Side by side with named peers: `python -m benchmarks.<name> --help`. Ratios carry over, seconds do not."""
