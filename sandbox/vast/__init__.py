"""Vast.ai: a market of hosts' machines, each an ask with a fixed price and a lowest bid."""
