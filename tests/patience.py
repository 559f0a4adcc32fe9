"""How long tests wait for what must come."""

# Far more than it takes, so that a slow or busy machine fails no test. What comes ends the wait at once.
PATIENCE_S = 20.0
