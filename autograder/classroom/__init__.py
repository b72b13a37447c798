"""One class: its settings and directory, the intake of submissions, and the run that grades them all."""
