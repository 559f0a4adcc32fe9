"""The Catalyst agent: runs pods on a machine of its owner and reports to the control plane. Imports nothing of ours."""
