"""Inside the exact allocation. Votes are shares of the power, rewards shares of a typical return, gauges columns."""
