"""What the entry points do: one module each, of library calls."""
