"""A world of prediction markets and the two services that tell of it."""
