"""Akash: a decentralised market. Its prices only."""
