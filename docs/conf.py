"""Settings of the documentation; build it with ``sphinx-build -W docs docs/_build/html``."""

import os
import sys
import warnings
from pathlib import Path

# One thread: the examples are small, and their pictures should not depend on the machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import sklearn_rqvae

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

# -- Project --

project = "sklearn-rqvae"
author = "the sklearn_rqvae developers"
copyright = author
version = release = sklearn_rqvae.__version__

# -- Sphinx --

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",  # links to the source, of this very version and without a network
    "api_groups",
    "house",
    "mathml",
    "tables",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
# What benchmarks write is included in pages, and is no page of its own.
exclude_patterns = ["_build", "_templates", "examples", "benchmarks/_generated"]
templates_path = ["_templates"]
default_role = "literal"
toc_object_entries_show_parents = "hide"  # names of methods are long enough by themselves
nitpicky = False

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc says types in words, with shapes and units
numpydoc_show_class_members = False  # the class template lists them
numpydoc_use_plots = False
# Methods that a class has from others of the package, for the class template.
autosummary_context = {
    "methods_from_our_bases": {
        name: sorted(
            method
            for base in getattr(sklearn_rqvae, name).__mro__[1:]
            if base.__module__.startswith("sklearn_rqvae.")
            for method in vars(base)
        )
        for name in ("RQVAETransformer", "ResidualKMeans", "SemanticIDIndex")
    }
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# -- Gallery --

warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")
sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "within_subsection_order": "FileNameSortKey",
    "doc_module": ("sklearn_rqvae",),
    "backreferences_dir": "generated/backreferences",
    "reference_url": {"sklearn_rqvae": None},
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
    "min_reported_time": 1,
    "remove_config_comments": True,
}

# -- HTML --

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = "sklearn-rqvae"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_show_sourcelink = False
html_copy_source = False
html_logo = html_favicon = "_static/logo.svg"
# Pages that stand alone, and those whose tables need the room.
html_sidebars = {
    page: [] for page in ("getting_started", "glossary", "faq", "changes", "benchmarks/**")
}
html_sidebars |= {"api": ["api-groups"], "generated/*": ["api-groups"]}
html_theme_options = {
    "logo": {"text": "sklearn-rqvae"},
    "navbar_end": ["version-switcher", "theme-switcher", "navbar-icon-links"],
    # The list of versions is read from where the page was, so that it needs no other host.
    "switcher": {"json_url": "_static/versions.json", "version_match": release},
    "github_url": "https://github.com/sklearn-rqvae/sklearn-rqvae",
    "navbar_persistent": ["search-button"],
    "navigation_with_keys": False,
    "show_prev_next": True,
    "show_toc_level": 2,
    # The house and the tables of benchmarks need the room.
    "secondary_sidebar_items": {
        "**": ["page-toc"],
        "developers/house": [],
        "benchmarks/distortion": [],
        "benchmarks/modes": [],
    },
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "header_links_before_dropdown": 5,
}
