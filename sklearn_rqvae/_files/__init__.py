"""Which bytes: files whole or not at all, archives that run nothing, tables."""
