"""What things cost, measured: each file is run by hand, with ``python -m``."""
