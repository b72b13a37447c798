"""The results of grading: feedback pages, exported grades, and the points that a class lost, by property."""
