"""What comes out of grading: feedback pages, exported grades, and the losses of a class by property."""
