"""The lessons' own figures: one module per lesson, named like its checks.

Each function returns a figure that brings its text alternative along, so a cell needs one line:

    from course_lib.figures import pixelcnn as figures

    plots.show(figures.gated_layer())

What two lessons could want is in `course_lib.plots` and `course_lib.schematics`.
"""
