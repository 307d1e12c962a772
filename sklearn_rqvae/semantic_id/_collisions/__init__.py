"""Which item gets which ID where several want the same."""
