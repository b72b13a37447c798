"""What goes out to students: notebooks built from the lessons' sources, a class's own release, the student bundle."""
