"""The `vestibule` command."""


def main() -> None:
    """Entry point."""
