"""Decisions of a prediction-market researcher: experiments and their scores."""
