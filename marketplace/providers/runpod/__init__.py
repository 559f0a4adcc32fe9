"""RunPod: pods in its own and its partners' data centres."""
