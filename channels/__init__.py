"""Channels: one adapter per outside network. A channel frames, notes facts, maps answers; it never judges."""
