"""All that judges: the property checks, the build of the notebooks, and the grading of a class."""
