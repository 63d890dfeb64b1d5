"""What must wait, driven by colour: the only room that knows of threads and event loops."""
