"""How it is learned: rows in, plain values out."""
