"""What runs networks: C source, its build, and its Python face."""
