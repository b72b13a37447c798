"""One class: its settings and directory, taking in what students handed in, and a run that grades all of it."""
