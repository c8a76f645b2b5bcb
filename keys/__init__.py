"""Key material, and every operation that touches it. Imports nothing of ours."""
