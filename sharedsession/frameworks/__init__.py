"""The habits of each framework over the one library; a framework is imported by its own module, when that is."""
