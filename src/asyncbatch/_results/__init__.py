"""
Many results together: in memory or as a stream, their figures, and tables of them.

Values only. The batch makes the results, and decides their order.
"""
