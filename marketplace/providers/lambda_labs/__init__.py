"""Lambda: whole machines by the hour."""
