"""A language model as a forecaster: what it is asked, what counts as an answer, what many answers come to. All pure."""
