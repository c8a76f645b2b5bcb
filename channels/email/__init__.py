"""Email: SMTP in and out (RFC 5321), and the facts of who sent it (RFC 8601)."""
