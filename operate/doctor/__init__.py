"""`foreshore doctor`: what stands in the way of the next run, each line with its cure."""
