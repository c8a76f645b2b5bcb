"""The gateway: what happens between a channel and an agent."""
