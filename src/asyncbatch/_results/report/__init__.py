"""
Reports of a batch: an HTML page, a few lines for notebooks, and a HAR file.

Results go in, text comes out. `_builder` makes `_figures` from results, with `_timeline`,
`_slowest` and `_failure_groups`. `_causes` finds what held the requests back. `_page` shows the
figures, by `_time_sections` and `_count_sections`; `_fragment` shows them in a notebook. Both use
`_charts` and `_markup`. `_har` uses none of these.
"""
