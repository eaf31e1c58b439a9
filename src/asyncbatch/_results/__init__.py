"""
What many results are together: in memory or as a stream, and in figures.

Values only. The batch makes the results, and decides in which order they come.
"""
