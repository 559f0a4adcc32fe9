"""Lambda: whole instances by type and region, priced in cents."""
