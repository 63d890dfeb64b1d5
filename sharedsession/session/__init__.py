"""What the application sees, and what it did."""
