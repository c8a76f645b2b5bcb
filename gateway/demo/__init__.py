"""The demonstration: a whole gateway on this machine, with sample customers who write and receive real mail."""
