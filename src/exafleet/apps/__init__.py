"""Apps: the command line. Thin by law: read the words of a command, call the floors below, print what they return."""
