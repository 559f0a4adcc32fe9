"""Catalogues and price histories from files: bulk data of others, kept apart from what we observe ourselves."""
