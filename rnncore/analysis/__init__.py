"""Seeing the gradient: instruments, theory's conditions, pictures and the report."""
