"""Sphinx's settings for the website; `autograder.release.website` writes the pages that it reads."""

from pathlib import Path

from autograder.release.website import repository

ROOT = Path(__file__).resolve().parents[2]

project = "Deep generative models"
author = "The authors of this course"
copyright = "2026, the authors of this course"
extensions = [
    "myst_nb",
    "sphinx_design",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "autograder.release.docstrings",
]
exclude_patterns = ["downloads", "extra"]

# Text
myst_enable_extensions = ["amsmath", "attrs_block", "colon_fence", "dollarmath"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # sections that go further have headings of the fourth level right below the second
highlight_language = "text"  # pages of source are coloured with any other value than "none"

# Notebooks come executed. Widgets, which need a kernel, get no scripts.
nb_execution_mode = "off"
nb_ipywidgets_js = {}
nb_merge_streams = True

# Docstrings
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
default_role = "code"
napoleon_custom_sections = ["Attributes"]
napoleon_use_rtype = False
napoleon_numpy_docstring = False

# Pages. MathJax 4, Sphinx's default, fetches parts of its fonts from elsewhere; version 3 is complete.
html_theme = "sphinx_book_theme"
html_title = project
html_static_path = [str(ROOT / "docs/site/static"), str(ROOT / "build/mathjax")]
html_css_files = ["site.css"]
html_js_files = [("search.js", {"defer": "defer"})]
html_favicon = str(ROOT / "docs/site/static/icon.svg")
html_sidebars = {  # a page of source is not in the table of contents, whose drawing takes most of its time
    "_modules/**": ["navbar-logo.html", "icon-links.html", "search-button-field.html"],
}
html_copy_source = html_show_sourcelink = html_show_sphinx = False
mathjax_path = "mathjax/tex-chtml.js"
html_theme_options = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "use_repository_button": bool(repository()),
    "repository_url": repository(),
    "show_toc_level": 2,
    "footer_content_items": ["copyright"],
    "navigation_with_keys": False,
    "navbar_persistent": [],  # the sidebar has a field to search
}
html_context = {"default_mode": "auto"}
