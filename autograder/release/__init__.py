"""Everything for students: notebooks built from the lessons' sources, a class's own release, the student bundle."""
