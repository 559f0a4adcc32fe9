"""Akash: the price list of the Console API, derived from bids; nothing here can be rented."""
