"""Vast.ai: a marketplace of hosts, on demand and by bid."""
