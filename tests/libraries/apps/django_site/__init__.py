"""One Django project, which has one library of others installed at a time: the environment's ``LIBRARY`` says which."""
