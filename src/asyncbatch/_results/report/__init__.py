"""
What a batch looks like from outside: an HTML page, a few lines for notebooks, and a HAR file.

Results go in, text comes out. `_builder` makes `_figures` of them, with `_timeline`, `_slowest` and
`_failure_groups`. `_causes` says what held them back. `_page` shows it, with its `_time_sections`
and `_count_sections`, and so does `_fragment`, by the pieces of `_charts` and `_markup`. `_har` is
apart.
"""
