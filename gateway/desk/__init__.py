"""The desk: where agents, supervisors and admins work. See README.md."""
